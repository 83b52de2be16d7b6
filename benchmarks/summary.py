"""How figures are summed up and shown: one line a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def percentile(ascending: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the ascending values lie."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of this platform beside a peer's."""

    name: str
    unit: str
    ours: float
    peer: float | None
    """None: the goal is absolute."""
    goal: float
    """Of the ratio ours / peer, or of our figure when there is no peer."""
    at_least: bool = True
    """False: smaller is better."""

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's."""
        return None if self.peer is None else self.ours / self.peer

    @property
    def reached(self) -> bool:
        """The goal is reached."""
        figure = self.ours if self.ratio is None else self.ratio
        return figure >= self.goal if self.at_least else figure <= self.goal


def table(metrics: Sequence[Metric]) -> str:
    """All metrics, one a line: metric ours peer ratio goal ok|short."""
    rows = [("metric", "ours", "peer", "ratio", "goal", "")]
    for metric in metrics:
        sign = "≥" if metric.at_least else "≤"
        rows.append(
            (
                f"{metric.name} [{metric.unit}]",
                figure(metric.ours),
                "–" if metric.peer is None else figure(metric.peer),
                "–" if metric.ratio is None else f"{metric.ratio:.2f}",
                f"{sign} {metric.goal:g}" + ("" if metric.peer is None else " ×"),
                "ok" if metric.reached else "short",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def figure(value: float) -> str:
    """Three significant digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
