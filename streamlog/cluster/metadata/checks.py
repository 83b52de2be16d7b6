"""What a request about topics may say: names and numbers, each refusal naming value and range."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.setting import unknown_key
from streamlog.model.settings.topic import TOPIC_SETTINGS, TopicConfig

TOPIC_NAME_CHARACTERS_MAX = 249
PARTITIONS_PER_TOPIC_MAX = 10_000
PARTITIONS_MAX = 100_000
"""Of all topics of a cluster."""
TOPICS_MAX = 50_000
REPLICATION_FACTOR_MAX = 7
PRODUCER_IDS_PER_BLOCK_MAX = 1_000_000
PRODUCER_ID_MAX = 2**62
ADDRESS_CHARACTERS_MAX = 255
RACK_CHARACTERS_MAX = 255

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_topic_name(name: str) -> None:
    """Raises INVALID_TOPIC_NAME."""
    if _NAME.fullmatch(name) and name not in {".", ".."}:
        return
    shown = ascii(name[:TOPIC_NAME_CHARACTERS_MAX])
    length = len(name)
    raise StreamlogError(
        Reason.INVALID_TOPIC_NAME,
        f"topic name {shown} ({length} characters) is not allowed: 1 to"
        f" {TOPIC_NAME_CHARACTERS_MAX} characters of [a-zA-Z0-9._-], and not '.' or '..'",
        {"name": shown, "length": str(length)},
    )


def check_partition_count(wanted: int, present: int, everywhere: int) -> None:
    """`wanted` partitions for a topic that has `present`, in a cluster that has `everywhere`.

    Raises INVALID_PARTITION_COUNT.
    """
    if not present < wanted <= PARTITIONS_PER_TOPIC_MAX:
        raise StreamlogError(
            Reason.INVALID_PARTITION_COUNT,
            f"{wanted} partitions are out of range: {present + 1} to {PARTITIONS_PER_TOPIC_MAX}",
            {
                "value": str(wanted),
                "minimum": str(present + 1),
                "maximum": str(PARTITIONS_PER_TOPIC_MAX),
            },
        )
    room = PARTITIONS_MAX - everywhere
    if wanted - present > room:
        raise StreamlogError(
            Reason.INVALID_PARTITION_COUNT,
            f"{wanted - present} partitions more are too many: the cluster has {everywhere} of at"
            f" most {PARTITIONS_MAX}",
            {"value": str(wanted), "minimum": str(present + 1), "maximum": str(present + room)},
        )


def check_replication_factor(wanted: int, nodes: int) -> None:
    """Raises INVALID_REPLICATION_FACTOR."""
    highest = min(nodes, REPLICATION_FACTOR_MAX)
    if 1 <= wanted <= highest:
        return
    raise StreamlogError(
        Reason.INVALID_REPLICATION_FACTOR,
        f"replication factor {wanted} is out of range: 1 to {highest}"
        f" ({nodes} nodes are registered)",
        {"value": str(wanted), "minimum": "1", "maximum": str(highest), "nodes": str(nodes)},
    )


def changed_overrides(
    before: Sequence[tuple[str, str]], set_: Mapping[str, str], unset: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], TopicConfig]:
    """Overrides after a change, without those equal to the default, and the settings in force.

    What was stored before and is unknown to this version is kept as it is.
    Raises INVALID_CONFIG.
    """
    for key in unset:
        if key not in TOPIC_SETTINGS:
            raise unknown_key(key, TOPIC_SETTINGS, "a topic")
        if key in set_:
            raise StreamlogError(
                Reason.INVALID_CONFIG,
                f"{key} is both set to {set_[key]!r} and unset",
                {"key": key, "value": set_[key]},
            )
    TopicConfig.from_overrides(set_)  # Only what is new must be known and in range.
    merged = {key: value for key, value in before if key not in unset}
    merged.update(set_)
    config = TopicConfig.from_stored(merged)
    kept = {key: value for key, value in merged.items() if key not in TOPIC_SETTINGS}
    kept.update(config.overrides())
    return tuple(sorted(kept.items())), config
