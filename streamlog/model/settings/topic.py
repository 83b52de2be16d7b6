"""Settings of a topic. A topic stores only what differs from the defaults.

Invariant: TOPIC_SETTINGS and the fields of TopicConfig name the same things (a test compares).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from streamlog.model.errors import StreamlogError
from streamlog.model.settings.setting import (
    ChoiceSetting,
    IntegerSetting,
    Setting,
    field_of,
    parse_settings,
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS
UNLIMITED = -1
BATCH_BYTES_MAX = 16 * MIB
"""Largest value of max.batch.bytes."""

_LIST: tuple[Setting, ...] = (
    IntegerSetting(
        "retention.ms",
        7 * DAY_MS,
        1,
        100 * YEAR_MS,
        "ms",
        "Records older than this may be deleted, a whole segment at a time.",
        unlimited=UNLIMITED,
    ),
    IntegerSetting(
        "retention.bytes",
        UNLIMITED,
        1,
        2**62,
        "bytes",
        "While a partition holds more than this, its oldest segments may be deleted.",
        unlimited=UNLIMITED,
    ),
    IntegerSetting(
        "segment.bytes",
        256 * MIB,
        16 * KIB,
        GIB,
        "bytes",
        "A new segment file begins before the last one grows beyond this; a larger batch gets a"
        " file of its own.",
    ),
    IntegerSetting(
        "segment.ms",
        7 * DAY_MS,
        SECOND_MS,
        YEAR_MS,
        "ms",
        "A new segment file begins when the last one is older than this.",
    ),
    IntegerSetting(
        "max.batch.bytes",
        MIB,
        KIB,
        BATCH_BYTES_MAX,
        "bytes",
        "Largest batch that is accepted, as it is sent (compressed).",
    ),
    ChoiceSetting(
        "message.timestamp.type",
        "create",
        ("create", "append"),
        "Whose clock stamps a record: the producer's (create) or the leader's (append).",
    ),
    ChoiceSetting(
        "compression.type",
        "producer",
        ("producer", "zstd", "none"),
        "producer: batches are stored as they were sent; zstd: the leader compresses those that"
        " came uncompressed; none: it stores them uncompressed.",
    ),
    IntegerSetting(
        "compression.level",
        1,
        1,
        6,
        "",
        "Of zstd, when the leader compresses. Higher levels cost its event loop more time.",
    ),
    ChoiceSetting(
        "cleanup.policy",
        "delete",
        ("delete",),
        "How old records go: whole segments beyond the retention are deleted.",
    ),
)

TOPIC_SETTINGS: Mapping[str, Setting] = MappingProxyType({s.key: s for s in _LIST})
"""By key."""


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """The settings in force for a topic; see TOPIC_SETTINGS for units and ranges."""

    retention_ms: int = 7 * DAY_MS
    retention_bytes: int = UNLIMITED
    segment_bytes: int = 256 * MIB
    segment_ms: int = 7 * DAY_MS
    max_batch_bytes: int = MIB
    message_timestamp_type: str = "create"
    compression_type: str = "producer"
    compression_level: int = 1
    cleanup_policy: str = "delete"

    def __post_init__(self) -> None:
        """Raises StreamlogError(INVALID_CONFIG) for a value outside its range."""
        for key, setting in TOPIC_SETTINGS.items():
            setting.check(getattr(self, field_of(key)))

    @classmethod
    def from_overrides(cls, overrides: Mapping[str, str]) -> TopicConfig:
        """Defaults, changed by text values by key. Raises StreamlogError(INVALID_CONFIG)."""
        parsed = parse_settings(overrides, TOPIC_SETTINGS, "a topic")
        fields: dict[str, Any] = {field_of(key): value for key, value in parsed.items()}
        return cls(**fields)

    @classmethod
    def from_stored(cls, overrides: Mapping[str, str]) -> TopicConfig:
        """As from_overrides, for what was accepted once, maybe by another version: never raises.

        What this version does not know or no longer allows counts as not given.
        """
        taken: dict[str, str] = {}
        for key, text in overrides.items():
            setting = TOPIC_SETTINGS.get(key)
            if setting is None:
                continue
            try:
                setting.parse(text)
            except StreamlogError:
                continue
            taken[key] = text
        return cls.from_overrides(taken)

    def overrides(self) -> dict[str, str]:
        """Text of every setting that differs from its default, by key."""
        return {
            key: setting.format(value)
            for key, setting in TOPIC_SETTINGS.items()
            if (value := getattr(self, field_of(key))) != setting.default
        }

    def value_text(self, key: str) -> str:
        """Text of the value in force for a known key."""
        return TOPIC_SETTINGS[key].format(getattr(self, field_of(key)))
