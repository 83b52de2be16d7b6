"""The catalog, the page made of it, and the code that fills it, tell the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from streamlog.server.metrics.catalog import METRICS, SECTIONS, Kind, MetricInfo
from streamlog.server.metrics.documentation import render

ROOT = Path(__file__).parents[5]
PAGE = ROOT / "docs" / "metrics.md"
FILLING = ("server/metrics/sources.py", "server/operations.py")
UNBOUNDED = {"client", "peer", "address", "producer", "member", "offset", "key"}


def test_the_page_is_what_the_catalog_says() -> None:
    """A metric that the page lacks fails here; the module's docstring has the command."""
    assert PAGE.read_text() == render()


def test_every_metric_is_filled_and_everything_that_is_filled_is_a_metric() -> None:
    """A name that only one side has would show at a scrape, or never."""
    named = {
        node.value
        for source in FILLING
        for node in ast.walk(ast.parse((ROOT / "streamlog" / source).read_text()))
        if isinstance(node, ast.Constant) and str(node.value).startswith("streamlog_")
    }
    assert named == set(METRICS)
    assert len(METRICS) == sum(len(metrics) for _, metrics in SECTIONS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_named_and_explained(metric: MetricInfo) -> None:
    """Prometheus' conventions, sentences that end, and labels whose values are bounded."""
    assert re.fullmatch(r"streamlog(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    if metric.kind in {Kind.HISTOGRAM, Kind.SUMMARY}:
        assert metric.name.endswith("_seconds")
    assert not metric.name.endswith(("_ms", "_milliseconds", "_kb", "_mb"))
    for text in (metric.meaning, metric.advice):
        assert text.endswith(".")
        assert "|" not in text
        assert "\n" not in text
    assert not set(metric.labels) & UNBOUNDED


def test_what_is_referred_to_exists() -> None:
    """Advice that names another metric, or a setting, names one that there is."""
    settings = (ROOT / "docs" / "configuration.md").read_text()
    for metric in METRICS.values():
        text = f"{metric.meaning} {metric.advice}"
        assert set(re.findall(r"streamlog_[a-z_]+[a-z]", text)) <= set(METRICS), metric.name
        for key in re.findall(r"\b[a-z]+(?:\.[a-z]+)+\b", text.replace("docs/errors.md", "")):
            assert f"`{key}`" in settings, f"{metric.name}: {key}"


def test_alerts_are_about_metrics_that_exist() -> None:
    """docs/operations.md names metrics of the catalog, with labels that they have."""
    text = (ROOT / "docs" / "operations.md").read_text()
    for name, label in re.findall(r"(streamlog_[a-z_]+[a-z])(?:\{([a-z]+)=)?", text):
        metric = METRICS[name.removesuffix("_bucket")]
        assert not label or label in metric.labels, name
