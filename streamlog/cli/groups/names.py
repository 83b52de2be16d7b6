"""Groups and partitions as people name them on a command line."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamlog.cli.completion import complete_groups, complete_topics
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.topics.names import suggestion

if TYPE_CHECKING:
    from streamlog.client import Admin

PARTITION_MAX: Final = 2**31 - 1
_NUMBERS: Final = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")

GroupName = Annotated[
    str, typer.Argument(metavar="GROUP", help="Group.", autocompletion=complete_groups)
]
Topics = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        "-t",
        metavar="TOPIC[:P,...]",
        help="Only this topic, or only these of its partitions (orders:0,3 or orders:0-7); may be"
        " repeated.",
        autocompletion=complete_topics,
    ),
]


@dataclass(frozen=True, slots=True)
class TopicChoice:
    """Partitions of a topic."""

    topic: str
    numbers: tuple[int, ...] | None
    """Ascending, each once; None: all."""


def parse_topics(texts: Iterable[str]) -> list[TopicChoice]:
    """What `--topic` says. Raises CommandFailed, also for a topic that is named twice."""
    choices: dict[str, TopicChoice] = {}
    for text in texts:
        topic, colon, tail = text.partition(":")
        if not topic or (colon and not tail):
            raise _no_choice(text)
        if topic in choices:
            raise CommandFailed(f"--topic {topic} is given twice", EXIT_USAGE)
        choices[topic] = TopicChoice(topic, _numbers(text, tail) if colon else None)
    return list(choices.values())


def _numbers(text: str, tail: str) -> tuple[int, ...]:
    numbers: dict[int, None] = {}
    for part in tail.split(","):
        match = _NUMBERS.fullmatch(part)
        if match is None:
            raise _no_choice(text)
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last <= PARTITION_MAX or last - first >= 1_000_000:
            raise _no_choice(text)
        numbers.update(dict.fromkeys(range(first, last + 1)))
    return tuple(sorted(numbers))


def _no_choice(text: str) -> CommandFailed:
    return CommandFailed(f"--topic {text!r} is none of TOPIC, TOPIC:0,3 and TOPIC:0-7", EXIT_USAGE)


async def pairs_of(admin: Admin, choices: Iterable[TopicChoice]) -> list[tuple[str, int]]:
    """The partitions that were chosen, by topic as given and number. Raises CommandFailed for one
    that is not there, ClientError."""
    pairs: list[tuple[str, int]] = []
    for choice in choices:
        described = await admin.describe_topic(choice.topic)
        there = {partition.partition: None for partition in described.partitions}
        for number in choice.numbers or ():
            if number not in there:
                raise CommandFailed(
                    f"{choice.topic} has partitions 0 to {len(there) - 1}, not {number}", EXIT_USAGE
                )
        pairs += [(choice.topic, number) for number in choice.numbers or there]
    return pairs


@asynccontextmanager
async def existing(admin: Admin, name: str) -> AsyncIterator[None]:
    """Around calls about a group: when it does not exist, names like it are suggested. Raises
    CommandFailed."""
    from streamlog.client import ClientError

    try:
        yield
    except ClientError as error:
        if error.reason != "UNKNOWN_GROUP":
            raise
        try:
            known = [group.name for group in await admin.list_groups()]
        except ClientError:
            raise error from None
        raise CommandFailed(f"there is no group {name!r}; {_hint(name, known)}") from error


def _hint(name: str, known: list[str]) -> str:
    none = "there are no groups: one is made by its first member or its first commit"
    return suggestion(name, known, "streamlog group list", none)
