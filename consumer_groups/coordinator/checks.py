"""What a request may say; each refusal names the value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from consumer_groups.assignors import check_assignor
from consumer_groups.commands import OffsetToCommit
from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import (
    CLIENT_CHARACTERS_MAX,
    MEMBER_ID_CHARACTERS_MAX,
    METADATA_BYTES_MAX,
    METADATA_BYTES_PER_REQUEST_MAX,
    NAME_CHARACTERS_MAX,
    PARTITIONS_PER_REQUEST_MAX,
    POSITION_MAX,
    REBALANCE_TIMEOUT_MS_MAX,
    REBALANCE_TIMEOUT_MS_MIN,
    SESSION_TIMEOUT_MS_MAX,
    SESSION_TIMEOUT_MS_MIN,
    TOPICS_PER_SUBSCRIPTION_MAX,
)
from consumer_groups.types import GroupName, MemberInfo, TopicCatalog, TopicPartition

NAMED_MAX: Final = 10
"""Partitions that a message names; the error itself has them all."""

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]+")


def check_group_name(name: GroupName) -> None:
    """Raises INVALID_GROUP_NAME."""
    if _is_name(name, NAME_CHARACTERS_MAX):
        return
    shown = ascii(name[:NAME_CHARACTERS_MAX])
    raise GroupError(
        Reason.INVALID_GROUP_NAME,
        f"group name {shown} ({len(name)} characters) is not allowed: 1 to {NAME_CHARACTERS_MAX}"
        " characters of [a-zA-Z0-9._-], and not '.' or '..'",
        {"name": shown, "length": str(len(name)), "maximum": str(NAME_CHARACTERS_MAX)},
    )


def check_member(info: MemberInfo) -> None:
    """Raises INVALID_REQUEST, TOO_MANY_TOPICS, UNKNOWN_ASSIGNOR. Patterns are checked where they
    are compiled."""
    if not _is_name(info.member_id, MEMBER_ID_CHARACTERS_MAX):
        raise _not_a_name("member id", info.member_id, MEMBER_ID_CHARACTERS_MAX)
    if info.instance_id and not _is_name(info.instance_id, NAME_CHARACTERS_MAX):
        raise _not_a_name("instance id", info.instance_id, NAME_CHARACTERS_MAX)
    for what, text in (("client id", info.client_id), ("client host", info.client_host)):
        if len(text) > CLIENT_CHARACTERS_MAX or not text.isprintable():
            raise GroupError(
                Reason.INVALID_REQUEST,
                f"{what} {text[:CLIENT_CHARACTERS_MAX]!a} ({len(text)} characters) is not"
                f" printable text of at most {CLIENT_CHARACTERS_MAX} characters",
                {"value": ascii(text[:CLIENT_CHARACTERS_MAX])},
            )
    _check_range(
        "session_timeout_ms",
        info.session_timeout_ms,
        SESSION_TIMEOUT_MS_MIN,
        SESSION_TIMEOUT_MS_MAX,
    )
    _check_range(
        "rebalance_timeout_ms",
        info.rebalance_timeout_ms,
        REBALANCE_TIMEOUT_MS_MIN,
        REBALANCE_TIMEOUT_MS_MAX,
    )
    check_assignor(info.assignor)
    topics = info.subscription.topics
    if len(topics) > TOPICS_PER_SUBSCRIPTION_MAX:
        raise GroupError(
            Reason.TOO_MANY_TOPICS,
            f"a subscription to {len(topics)} topics is too large: at most"
            f" {TOPICS_PER_SUBSCRIPTION_MAX} may be named, a pattern may match more",
            {"value": str(len(topics)), "maximum": str(TOPICS_PER_SUBSCRIPTION_MAX)},
        )
    if not topics and not info.subscription.pattern:
        raise GroupError(
            Reason.INVALID_REQUEST, "a subscription names neither a topic nor a pattern"
        )
    if any(a >= b for a, b in pairwise(topics)):
        raise GroupError(
            Reason.INVALID_REQUEST, "the topics of a subscription are not in order, each once"
        )


def checked_offsets(offsets: Iterable[OffsetToCommit]) -> tuple[OffsetToCommit, ...]:
    """By partition, ascending. Raises INVALID_REQUEST, TOO_MANY_PARTITIONS, OFFSET_OUT_OF_RANGE,
    METADATA_TOO_LARGE."""
    ordered = tuple(sorted(offsets))
    check_partitions([offset.partition for offset in ordered])
    metadata_bytes = 0
    for partition, offset, leader_term, metadata in ordered:
        if not 0 <= offset <= POSITION_MAX:
            raise GroupError(
                Reason.OFFSET_OUT_OF_RANGE,
                f"offset {offset} of {_named(partition)} is out of range: 0 to {POSITION_MAX}",
                {"value": str(offset), "minimum": "0", "maximum": str(POSITION_MAX)},
                (partition,),
            )
        if not 0 <= leader_term <= POSITION_MAX:
            _check_range("leader_term", leader_term, 0, POSITION_MAX)
        if metadata:
            size = len(metadata.encode())
            metadata_bytes += size
            if size > METADATA_BYTES_MAX:
                raise _metadata_too_large(f"of {_named(partition)}", size, METADATA_BYTES_MAX)
    if metadata_bytes > METADATA_BYTES_PER_REQUEST_MAX:
        raise _metadata_too_large("of one request", metadata_bytes, METADATA_BYTES_PER_REQUEST_MAX)
    return ordered


def check_partitions(partitions: list[TopicPartition]) -> None:
    """At least one, in order, each once. Raises INVALID_REQUEST, TOO_MANY_PARTITIONS."""
    if len(partitions) > PARTITIONS_PER_REQUEST_MAX:
        raise GroupError(
            Reason.TOO_MANY_PARTITIONS,
            f"{len(partitions)} partitions in one request are too many: 1 to"
            f" {PARTITIONS_PER_REQUEST_MAX}",
            {"value": str(len(partitions)), "maximum": str(PARTITIONS_PER_REQUEST_MAX)},
        )
    if not partitions:
        raise GroupError(Reason.INVALID_REQUEST, "the request names no partition")
    for before, after in pairwise(partitions):
        if before == after:
            raise GroupError(
                Reason.INVALID_REQUEST, f"{_named(after)} is named twice", {}, (after,)
            )


def check_in_catalog(partitions: Iterable[TopicPartition], catalog: TopicCatalog) -> None:
    """Raises UNKNOWN_TOPIC, UNKNOWN_PARTITION."""
    for partition in partitions:
        view = catalog.by_id.get(partition.topic_id)
        if view is None:
            raise GroupError(
                Reason.UNKNOWN_TOPIC,
                f"topic {partition.topic_id} does not exist: it was deleted, or is newer than"
                f" version {catalog.version} of the metadata",
                {"topic_id": str(partition.topic_id)},
                (partition,),
            )
        if not 0 <= partition.partition < view.partition_count:
            raise GroupError(
                Reason.UNKNOWN_PARTITION,
                f"partition {partition.partition} of topic {view.name} is out of range: 0 to"
                f" {view.partition_count - 1}",
                {"value": str(partition.partition), "maximum": str(view.partition_count - 1)},
                (partition,),
            )


def list_of(partitions: Iterable[TopicPartition]) -> str:
    """The first of them, for a message."""
    named = [_named(partition) for partition in partitions]
    more = f" and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else ""
    return ", ".join(named[:NAMED_MAX]) + more


def _named(partition: TopicPartition) -> str:
    return f"partition {partition.partition} of topic {partition.topic_id}"


def _is_name(text: str, longest: int) -> bool:
    return len(text) <= longest and bool(_NAME.fullmatch(text)) and text not in {".", ".."}


def _not_a_name(what: str, text: str, longest: int) -> GroupError:
    shown = ascii(text[:longest])
    return GroupError(
        Reason.INVALID_REQUEST,
        f"{what} {shown} ({len(text)} characters) is not allowed: 1 to {longest} characters of"
        " [a-zA-Z0-9._-], and not '.' or '..'",
        {"value": shown, "maximum": str(longest)},
    )


def _check_range(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise GroupError(
            Reason.INVALID_REQUEST,
            f"{what} {value} is out of range: {least} to {most}",
            {"field": what, "value": str(value), "minimum": str(least), "maximum": str(most)},
        )


def _metadata_too_large(whose: str, size: int, most: int) -> GroupError:
    return GroupError(
        Reason.METADATA_TOO_LARGE,
        f"metadata {whose} has {size} bytes: 0 to {most} are allowed",
        {"value": str(size), "maximum": str(most)},
    )
