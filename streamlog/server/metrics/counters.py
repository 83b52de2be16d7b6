"""Everything that a node counts apart from what its parts keep anyway."""

from __future__ import annotations

from streamlog.broker.counters import BrokerCounters
from streamlog.model.histogram import Histogram
from streamlog.server.metrics.measured_disk import DiskCounters
from streamlog.server.metrics.measured_services import CallCounters


class NodeCounters:
    """Of one node, from its start to its stop, over all of its memberships."""

    def __init__(self) -> None:
        self.broker = BrokerCounters()
        self.disk = DiskCounters()
        self.calls = CallCounters(self.broker.refuse)
        self.loop_lag_ms = Histogram()
