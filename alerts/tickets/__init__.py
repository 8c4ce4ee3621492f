"""The life of a ticket: workflow, routing, clocks; pure but for the statistics."""
