"""Samples as a scraper reads them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from replication.errors import InvariantViolation
from streamlog.model.histogram import Histogram
from streamlog.server.metrics.catalog import METRICS, Kind
from streamlog.server.metrics.exposition import help_text, render
from streamlog.server.metrics.samples import Samples


def test_what_is_sampled_is_read_back() -> None:
    """Every kind of metric, with labels that need escaping, through a scraper's own parser."""
    histogram = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 7.0, 1_000.0):
        histogram.add(value)
    samples = Samples()
    samples.number("streamlog_produce_records_total", 12, "orders")
    samples.number("streamlog_produce_records_total", 3, 'a"b\\c')
    samples.number("streamlog_disk_free_bytes", 2**50 + 1)
    samples.milliseconds("streamlog_fsync_seconds", histogram, "journal")
    samples.sums("streamlog_node_call_seconds", 4, 6_000.0, "AdminService/CreateTopic")
    read = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(samples).decode())
        for sample in family.samples
    }
    journal, topic = ("operation", "journal"), "topic"
    method = ("method", "AdminService/CreateTopic")
    assert read == {
        ("streamlog_produce_records_total", (topic, "orders")): 12,
        ("streamlog_produce_records_total", (topic, 'a"b\\c')): 3,
        ("streamlog_disk_free_bytes",): 2**50 + 1,
        ("streamlog_fsync_seconds_bucket", ("le", "0.001"), journal): 2,
        ("streamlog_fsync_seconds_bucket", ("le", "0.01"), journal): 3,
        ("streamlog_fsync_seconds_bucket", ("le", "+Inf"), journal): 4,
        ("streamlog_fsync_seconds_count", journal): 4,
        ("streamlog_fsync_seconds_sum", journal): 1.0085,
        ("streamlog_node_call_seconds_count", method): 4,
        ("streamlog_node_call_seconds_sum", method): 6,
    }


def test_every_metric_is_explained_even_without_a_value() -> None:
    """HELP and TYPE of each: a dashboard can be made before the first record."""
    families = {f.name: f for f in text_string_to_metric_families(render(Samples()).decode())}
    assert set(families) == {name.removesuffix("_total") for name in METRICS}
    for name, metric in METRICS.items():
        family = families[name.removesuffix("_total")]
        assert family.type == metric.kind.value
        assert family.documentation == help_text(metric)


def test_two_nodes_of_one_process_are_not_mixed() -> None:
    """Each scrape has a registry of its own; other collectors come behind."""
    first, second = Samples(), Samples()
    first.number("streamlog_cluster_topics", 1)
    second.number("streamlog_cluster_topics", 2)
    registry = CollectorRegistry()
    gauge = Gauge("of_the_process", "It is there.", registry=registry)
    gauge.set(7)
    assert b"streamlog_cluster_topics 1.0\n" in render(first)
    text = render(second, [gauge])
    assert b"streamlog_cluster_topics 2.0\n" in text
    assert b"of_the_process 7.0\n" in text


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("streamlog_of_nobody", ()),
        ("streamlog_produce_records_total", ()),
        ("streamlog_disk_free_bytes", ("orders",)),
        ("streamlog_fsync_seconds", ("journal",)),
    ],
)
def test_samples_are_of_the_catalog(name: str, labels: tuple[str, ...]) -> None:
    """Another name, other labels or another kind is a defect, and is not written down wrongly."""
    assert name not in METRICS or METRICS[name].kind in Kind
    with pytest.raises(InvariantViolation, match="of the catalog"):
        Samples().number(name, 1, *labels)
