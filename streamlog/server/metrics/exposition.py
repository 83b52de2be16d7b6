"""Samples in Prometheus' text form, through a registry that lives as long as one scrape.

Called on the thread that serves the scrape: it holds no state of the node, only numbers that were
taken before. The registry is made anew each time, because it belongs to one node: several nodes
live in one process in tests and in the simulator, where the library's global one would mix them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from streamlog.server.metrics.catalog import METRICS, Kind, MetricInfo
from streamlog.server.metrics.samples import Distribution, Labels, Samples, Sums, Value

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class SampleCollector(Collector):
    """Gives a registry what was sampled, in the order of the catalog."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        """One family for each metric of the catalog, those without values too."""
        for name, metric in METRICS.items():
            yield _family(metric, self._samples.values.get(name, {}))


def render(samples: Samples, others: Sequence[Collector] = ()) -> bytes:
    """The body of a scrape: the samples, and what other collectors give."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in (SampleCollector(samples), *others):
        registry.register(collector)
    return generate_latest(registry)


def help_text(metric: MetricInfo) -> str:
    """What stands in the HELP line."""
    return f"{metric.meaning} {metric.advice}"


def _family(metric: MetricInfo, values: dict[Labels, Value]) -> Metric:
    name, text, labels = metric.name, help_text(metric), metric.labels
    match metric.kind:
        case Kind.COUNTER:
            counter = CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
            for key, number in _numbers(values):
                counter.add_metric(key, number)
            return counter
        case Kind.GAUGE:
            gauge = GaugeMetricFamily(name, text, labels=labels)
            for key, number in _numbers(values):
                gauge.add_metric(key, number)
            return gauge
        case Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(name, text, labels=labels)
            for key, value in values.items():
                assert isinstance(value, Distribution)
                buckets = [(_bound(bound), count) for bound, count in value.buckets]
                histogram.add_metric(key, buckets, value.total)
            return histogram
        case Kind.SUMMARY:
            summary = SummaryMetricFamily(name, text, labels=labels)
            for key, value in values.items():
                assert isinstance(value, Sums)
                summary.add_metric(key, value.count, value.total)
            return summary


def _numbers(values: dict[Labels, Value]) -> Iterable[tuple[Labels, float]]:
    for key, value in values.items():
        assert isinstance(value, int | float)
        yield key, value


def _bound(bound: float) -> str:
    """As the label `le` has it."""
    return "+Inf" if math.isinf(bound) else repr(bound)
