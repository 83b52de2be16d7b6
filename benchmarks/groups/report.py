"""Figures of groups side by side: ours, and Kafka's with how many times ours they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.groups.changes import Figures
from benchmarks.summary import figure

GOALS_S = {"arrives": 0.2, "leaves": 0.2}
WHAT = {
    "arrives": "a member arrives",
    "leaves": "a member leaves cleanly",
    "is killed": "a member is killed",
    "is frozen": "a member is frozen",
}


def report(title: str, ours: Figures, peers: Mapping[str, Figures | str]) -> str:
    """A table: one line a change; a peer that failed is a line that says so.

    A figure is the median of those that were measured. A ratio above 1 means that the peer took so
    many times as long, or made so many times fewer commits.
    """
    there = {name: found for name, found in peers.items() if isinstance(found, Figures)}
    rows: list[Sequence[str]] = [(title, "ours", *there, "goal", "")]
    for what, name in WHAT.items():
        if what not in ours.took:
            continue
        mine = _seconds(ours, what)
        goal = GOALS_S.get(what)
        cells = [
            f"{figure(_seconds(found, what))} ({_seconds(found, what) / mine:.1f} ×)"
            if what in found.took
            else "–"
            for found in there.values()
        ]
        verdict = "" if goal is None else "ok" if mine <= goal else "short"
        rows.append(
            (
                f"{name} [s]",
                figure(mine),
                *cells,
                "" if goal is None else f"≤ {goal:g}",
                verdict,
            )
        )
    if ours.commits_per_s is not None:
        cells = [
            "–"
            if found.commits_per_s is None
            else f"{figure(found.commits_per_s)} ({ours.commits_per_s / found.commits_per_s:.1f} ×)"
            for found in there.values()
        ]
        rows.append(
            ("commits of one coordinator [1/s]", figure(ours.commits_per_s), *cells, "", "")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines += [f"{name}: {found}" for name, found in peers.items() if isinstance(found, str)]
    for name, found in {"ours": ours, **there}.items():
        worst = max(took.stayed_worst_s for some in found.took.values() for took in some)
        lines.append(
            f"{name}: partitions that stayed where they were: a record took at most"
            f" {figure(worst)} s meanwhile"
        )
    return "\n".join(lines)


def _seconds(figures: Figures, what: str) -> float:
    return median(took.seconds for took in figures.took[what])
