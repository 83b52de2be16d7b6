"""The names of topics: which there are, and which one somebody may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamlog.cli.target import Target

SUGGESTION_TIMEOUT_S: Final = 2.0
SUGGESTIONS_MAX: Final = 3


async def names_of(target: Target) -> list[str]:
    """Every topic of the cluster. Raises ClientError."""
    from streamlog.client import Admin

    async with Admin(target.bootstrap) as admin:
        return [topic.name for topic in await admin.list_topics()]


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Up to three names that look like it, whatever their case; the likeliest first."""
    by_lower: dict[str, list[str]] = {}
    for each in known:
        by_lower.setdefault(each.lower(), []).append(each)
    close = get_close_matches(name.lower(), by_lower, n=SUGGESTIONS_MAX)
    return [each for lower in close for each in by_lower[lower]][:SUGGESTIONS_MAX]


def hint(name: str, known: Sequence[str]) -> str:
    """What to say about a topic that is not there."""
    none = f"there are no topics; make it with 'streamlog topic create {name}'"
    return suggestion(name, known, "streamlog topic list", none)


def suggestion(name: str, known: Sequence[str], listing: str, none: str) -> str:
    """Which of `known` may be meant by `name`; else the command that lists them, or, when there are
    none, `none`."""
    near = nearest(name, known)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"'{listing}' shows those that there are" if known else none
