"""Renders `docs/metrics.md` from the catalog.

python -m streamlog.server.metrics.documentation > docs/metrics.md
"""

from __future__ import annotations

import sys

from prometheus_client import ProcessCollector
from prometheus_client.registry import Collector

from streamlog.server.metrics.catalog import SECTIONS, MetricInfo

_HEAD = """# Metrics

Generated from `streamlog/server/metrics/catalog.py`; a test fails when it is stale.

A node with the setting `operations.bind` answers `GET /metrics` in Prometheus' text form, next to
`/healthz` and `/readyz` ([operations.md](operations.md)). Counters begin at zero with the process.
Labels name topics, nodes of the cluster, methods, reasons, kinds of work and consumer groups (a
bounded number of series, told by the node that coordinates them); never clients.
Histograms have a `_bucket`, a `_sum` and a `_count`, summaries the last two.
"""

_PROCESS = """## Process
From the operating system, as every program tells them that uses `prometheus_client`.
"""


def render() -> str:
    """The whole page."""
    sections = [_section(title, metrics) for title, metrics in SECTIONS]
    return "\n".join([_HEAD, *sections, _PROCESS, _process(ProcessCollector(registry=None))])


def _section(title: str, metrics: tuple[MetricInfo, ...]) -> str:
    lines = [f"## {title}", "", "| metric | kind | meaning | what to do |", "|---|---|---|---|"]
    for metric in metrics:
        labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
        lines.append(
            f"| `{metric.name}{labels}` | {metric.kind.value} | {metric.meaning} |"
            f" {metric.advice} |"
        )
    return "\n".join([*lines, ""])


def _process(collector: Collector) -> str:
    lines = ["| metric | kind | meaning |", "|---|---|---|"]
    for family in sorted(collector.collect(), key=lambda family: family.name):
        name = family.name + ("_total" if family.type == "counter" else "")
        lines.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(render())
