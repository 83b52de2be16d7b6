"""Values of the catalog's metrics at one moment: plain numbers that nobody changes any more.

They are gathered on the event loop and handed to the thread that makes text of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication.errors import invariant
from streamlog.model.histogram import Histogram
from streamlog.server.metrics.catalog import METRICS, Kind

_MS = 1_000.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of a histogram; in base units."""

    buckets: tuple[tuple[float, int], ...]
    """(upper bound, values at or below it), ascending, the last bound infinite."""
    total: float


@dataclass(frozen=True, slots=True)
class Sums:
    """Of a summary; in base units."""

    count: int
    total: float


Value = float | Distribution | Sums
Labels = tuple[str, ...]


class Samples:
    """Values by metric and labels.

    Invariant: metrics are those of the catalog, with as many labels as it says.
    """

    def __init__(self) -> None:
        self.values: dict[str, dict[Labels, Value]] = {}

    def number(self, name: str, value: float, *labels: str) -> None:
        """A counter or a gauge."""
        self._put(name, value, labels, Kind.COUNTER, Kind.GAUGE)

    def milliseconds(self, name: str, histogram: Histogram, *labels: str) -> None:
        """A histogram of milliseconds, told in seconds."""
        buckets = tuple((bound / _MS, count) for bound, count in histogram.cumulative())
        self._put(
            name,
            Distribution(buckets, histogram.total / _MS),
            labels,
            Kind.HISTOGRAM,
            Kind.HISTOGRAM,
        )

    def sums(self, name: str, count: int, total_ms: float, *labels: str) -> None:
        """A summary of milliseconds, told in seconds."""
        self._put(name, Sums(count, total_ms / _MS), labels, Kind.SUMMARY, Kind.SUMMARY)

    def _put(self, name: str, value: Value, labels: Labels, *kinds: Kind) -> None:
        metric = METRICS.get(name)
        invariant(
            metric is not None and metric.kind in kinds and len(metric.labels) == len(labels),
            "a sample is of a metric of the catalog",
            name=name,
            labels=labels,
        )
        self.values.setdefault(name, {})[labels] = value
