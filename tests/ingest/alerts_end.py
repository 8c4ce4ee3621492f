"""The alerts end of the links, for tests of ingest."""

from sim.alerts_end import SITE, AlertsEnd, alerts_end, site_in

__all__ = ["SITE", "AlertsEnd", "alerts_end", "site_in"]
