"""The order of one producer's records in a partition.

Jepsen tells internal (within a transaction) from external (from one to the next). Here, internal is
between sends that were under way together: an idempotent producer's keep the order of the calls,
others may overtake each other. External is between a send and one that was acknowledged before it
was called: everybody's lies behind that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jepsen_like.checkers.evidence import Evidence, Send
from jepsen_like.checkers.history import Violation


@dataclass(frozen=True, slots=True)
class _Inversion:
    """A send that lies at or before one that was called earlier."""

    send: Send
    position: int
    earlier: Send
    earlier_position: int
    external: bool
    """The earlier one had been acknowledged."""


def internal_nonmonotonic_sends(evidence: Evidence) -> list[Violation]:
    """Records of an idempotent producer, under way together, are not in the order of the calls."""
    return [
        _violation(
            "internal_nonmonotonic_sends",
            inversion,
            f"{inversion.send.invoked.value} was sent after {inversion.earlier.invoked.value} by"
            f" the same idempotent producer",
        )
        for inversion in _inversions(evidence)
        if not inversion.external and inversion.send.invoked.idempotent
    ]


def external_nonmonotonic_sends(evidence: Evidence) -> list[Violation]:
    """A record lies at or before one that had been acknowledged when its send was called."""
    return [
        _violation(
            "external_nonmonotonic_sends",
            inversion,
            f"{inversion.send.invoked.value} was sent after {inversion.earlier.invoked.value} had"
            f" been acknowledged",
        )
        for inversion in _inversions(evidence)
        if inversion.external
    ]


def _violation(checker: str, inversion: _Inversion, what: str) -> Violation:
    return Violation(
        checker,
        f"{what} at offset {inversion.earlier_position} of partition"
        f" {inversion.send.invoked.partition}, but lies at {inversion.position}",
        tuple(sorted({*inversion.earlier.lines, *inversion.send.lines})),
    )


def _inversions(evidence: Evidence) -> Iterator[_Inversion]:
    """Of each send at most one, an external one if there is any."""
    groups: dict[tuple[str, int], list[Send]] = {}
    for send in evidence.sends:
        groups.setdefault((send.invoked.process, send.invoked.partition), []).append(send)
    for group in groups.values():
        acknowledged = sorted(
            (s for s in group if s.acknowledged),
            key=lambda s: s.ended.index if s.ended else 0,
        )
        done = 0
        highest_done: tuple[int, Send] | None = None
        highest: tuple[int, Send] | None = None
        for send in group:
            while done < len(acknowledged) and _ended_before(acknowledged[done], send):
                highest_done = _higher(evidence, highest_done, acknowledged[done])
                done += 1
            position = evidence.position(send)
            if position >= 0:
                if highest_done is not None and position <= highest_done[0]:
                    yield _Inversion(send, position, highest_done[1], highest_done[0], True)
                elif highest is not None and position <= highest[0]:
                    yield _Inversion(send, position, highest[1], highest[0], False)
            highest = _higher(evidence, highest, send)


def _ended_before(earlier: Send, send: Send) -> bool:
    return earlier.ended is not None and earlier.ended.index < send.invoked.index


def _higher(
    evidence: Evidence, highest: tuple[int, Send] | None, send: Send
) -> tuple[int, Send] | None:
    position = evidence.position(send)
    if position < 0 or (highest is not None and position <= highest[0]):
        return highest
    return position, send
