"""Looking at something again and again: in place on a terminal, line by line everywhere else.

What is piped or logged holds nothing that moves: each look is lines that begin with its time, or one
JSON object. A look that fails because nobody answers is told on standard error, and the next one is
made all the same: who watches wants to see it come back.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import typer

from streamlog.cli.groups.cells import (
    as_json,
    finding_lines,
    headline,
    lag_text,
    partition_rows,
    time_text,
)
from streamlog.cli.output import Output, table

if TYPE_CHECKING:
    from streamlog.client import GroupDescription

LINES_MIN: Final = 5
"""Rows that are shown on however small a terminal."""

SeenT_contra = TypeVar("SeenT_contra", contravariant=True)
SeenT = TypeVar("SeenT")


class Screen(Protocol[SeenT_contra]):
    """How what was seen is shown."""

    def picture(self, seen: SeenT_contra, at_s: float, height: int) -> str:
        """For a terminal, at most about `height` lines."""
        ...

    def lines(self, seen: SeenT_contra, at_s: float) -> list[str]:
        """For everything else."""
        ...


class _Shown(Generic[SeenT]):
    """A terminal, or a stream of lines; a context manager."""

    def __init__(self, screen: Screen[SeenT], *, in_place: bool) -> None:
        self._screen, self._in_place = screen, in_place
        self._live: Any = None

    def __enter__(self) -> _Shown[SeenT]:
        if self._in_place:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(), auto_refresh=False, vertical_overflow="crop", transient=False
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, seen: SeenT, at_s: float) -> None:
        if self._live is None:
            for line in self._screen.lines(seen, at_s):
                typer.echo(line)
            sys.stdout.flush()
            return
        from rich.text import Text

        height = shutil.get_terminal_size().lines - 1
        picture = self._screen.picture(seen, at_s, height)
        self._live.update(Text(picture, no_wrap=True, overflow="crop"), refresh=True)


async def watch(
    look: Callable[[], Awaitable[SeenT]],
    screen: Screen[SeenT],
    interval_s: float,
    number: int | None,
    *,
    in_place: bool | None = None,
) -> None:
    """Look every `interval_s` seconds, `number` times or until cancelled.

    `in_place`: default: on a terminal, unless the screen writes JSON. Raises ClientError for what
    looking again would not mend; BrokenPipeError when nobody reads.
    """
    from streamlog.client import ClientError

    if in_place is None:
        in_place = sys.stdout.isatty() and not getattr(screen, "is_json", False)
    looks = 0
    with _Shown(screen, in_place=in_place) as shown:
        while True:
            began_s = time.monotonic()
            try:
                shown.show(await look(), time.time())
                looks += 1
            except ClientError as error:
                if not error.retriable:
                    raise
                typer.echo(f"note: {error}", err=True)
            if number is not None and looks >= number:
                return
            await asyncio.sleep(max(0.0, began_s + interval_s - time.monotonic()))


class GroupScreen:
    """One group and its lag, the worst partitions first; remembers the last look, for rates."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.is_json = as_json
        self._before: tuple[float, dict[tuple[str, int], int]] | None = None

    def picture(self, seen: GroupDescription, at_s: float, height: int) -> str:
        """See Screen."""
        rates = self._rates(seen, at_s)
        findings = finding_lines(seen)
        head = [
            f"{time_text(int(at_s * 1_000))}  Ctrl-C ends",
            *headline(seen).splitlines(),
            *findings[:LINES_MIN],
        ]
        if len(findings) > LINES_MIN:
            head.append(f"! and {len(findings) - LINES_MIN} more")
        ordered = sorted(
            seen.partitions, key=lambda each: (-(each.lag_records or 0), each.topic, each.partition)
        )
        room = max(LINES_MIN, height - len(head) - 3)
        rows = [
            {**row, "change": _rate_text(rates.get((each.topic, each.partition)))}
            for each, row in zip(ordered[:room], partition_rows(ordered[:room]), strict=True)
        ]
        parts = ["\n".join(head)]
        if rows:
            parts.append(table(rows))
        if len(ordered) > room:
            parts[-1] += f"\nand {len(ordered) - room} more"
        return "\n\n".join(parts)

    def lines(self, seen: GroupDescription, at_s: float) -> list[str]:
        """See Screen."""
        stamp = time_text(int(at_s * 1_000))
        if self.is_json:
            return [json.dumps({"at": stamp, **as_json(seen)}, separators=(",", ":"))]
        rates = self._rates(seen, at_s)
        change = _rate_text(sum(rates.values())) if rates else None
        lines = [
            f"{stamp} {seen.name} {seen.phase.value} members={len(seen.members)} "
            + " ".join(
                f"{key}={_known(value)}"
                for key, value in (
                    ("lag", seen.lag_records),
                    ("lag_time", lag_text(seen.lag_seconds)),
                    ("change", change),
                    ("findings", len(seen.findings)),
                )
            )
        ]
        lines += [
            f"{stamp} {seen.name} {each.topic}/{each.partition} lag={each.lag_records}"
            f" lag_time={_known(lag_text(each.lag_seconds))} member={each.member_id or '-'}"
            for each in seen.partitions
            if each.lag_records
        ]
        return lines

    def _rates(self, seen: GroupDescription, at_s: float) -> dict[tuple[str, int], float]:
        """How fast the lag of each partition changes, offsets a second; below 0: it falls."""
        lags = {
            (each.topic, each.partition): each.lag_records
            for each in seen.partitions
            if each.lag_records is not None
        }
        before, self._before = self._before, (at_s, lags)
        if before is None or at_s <= before[0]:
            return {}
        passed_s = at_s - before[0]
        return {
            pair: (lag - before[1][pair]) / passed_s
            for pair, lag in lags.items()
            if pair in before[1]
        }


class ListScreen:
    """All groups."""

    def __init__(self, output: Output) -> None:
        self.is_json = output is Output.JSON

    def picture(self, seen: list[dict[str, Any]], at_s: float, height: int) -> str:
        """See Screen."""
        head = f"{time_text(int(at_s * 1_000))}  Ctrl-C ends"
        if not seen:
            return f"{head}\n\nno groups"
        room = max(LINES_MIN, height - 4)
        more = f"\nand {len(seen) - room} more" if len(seen) > room else ""
        return f"{head}\n\n{table(seen[:room])}{more}"

    def lines(self, seen: list[dict[str, Any]], at_s: float) -> list[str]:
        """See Screen."""
        stamp = time_text(int(at_s * 1_000))
        if self.is_json:
            return [json.dumps({"at": stamp, "groups": seen}, separators=(",", ":"))]
        return [
            f"{stamp} {row['group']} "
            + " ".join(f"{key}={_known(value)}" for key, value in row.items() if key != "group")
            for row in seen
        ] or [f"{stamp} no groups"]


def _rate_text(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:+,.0f}/s" if rate else "0/s"


def _known(value: object) -> str:
    """For lines: one word."""
    return "-" if value is None else str(value).replace(" ", "")
