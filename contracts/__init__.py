"""The words of gridwhistle, defined once. The chain, in the order in which things happen:

    Source        a camera or sensor of the Catalogue, at a Place, in a state
      -> Frame        one encoded picture of it (decoded only if the scheduler picks it)
         -> Detections    what a model found in the picture; stays inside inference
      -> Reading      one decoded value of a sensor
    -> Observation  one source claims one thing at one place and time
    -> Incident     what the county believes is happening (告警), with a reason for every Decision
    -> Ticket       a case for a grid (工单), with its life cycle of TicketEvents
    -> Delivery     the outcome of handing a ticket's change to an outside system

and the way back: Command, what a Principal asks.
Policy holds the rules, Instant is time (ns UTC), errors hold the one tree of what can go wrong, wire turns
records into bytes. This package imports no other package of ours.
"""
