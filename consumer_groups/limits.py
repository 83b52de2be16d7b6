"""Bounds of consumer groups. Whoever comes to one gets an error that names it."""

from __future__ import annotations

from typing import Final

GROUPS_MAX: Final = 10_000
"""Of one coordinator, that is of one partition of `__consumer_offsets`."""
COMMITS_MAX: Final = 500_000
"""Committed positions of all groups of one coordinator."""
MEMBERS_PER_GROUP_MAX: Final = 1_000
TOPICS_PER_SUBSCRIPTION_MAX: Final = 1_000
TOPICS_PER_GROUP_MAX: Final = 5_000
PATTERNS_PER_GROUP_MAX: Final = 16
"""Different ones, of all members."""
PARTITIONS_PER_GROUP_MAX: Final = 20_000
"""Of all topics that the members subscribe to."""
PARTITIONS_PER_REQUEST_MAX: Final = 20_000
"""That one commit, reset or deletion may name."""
METADATA_BYTES_MAX: Final = 4_096
"""UTF-8, of one committed position."""
METADATA_BYTES_PER_REQUEST_MAX: Final = 262_144
"""Of all positions of one commit."""
POSITION_MAX: Final = 2**63 - 1
NAME_CHARACTERS_MAX: Final = 249
"""Of groups and instance ids."""
MEMBER_ID_CHARACTERS_MAX: Final = 64
CLIENT_CHARACTERS_MAX: Final = 255
"""Of client id and host."""
SESSION_TIMEOUT_MS_MIN: Final = 1_000
SESSION_TIMEOUT_MS_MAX: Final = 1_800_000
REBALANCE_TIMEOUT_MS_MIN: Final = 1_000
REBALANCE_TIMEOUT_MS_MAX: Final = 3_600_000
RECENT_REBALANCES_MAX: Final = 16
"""Reasons that a group remembers, the newest ones."""
DETAIL_CHARACTERS_MAX: Final = 200
"""Of the text beside a rebalance's cause."""
PATTERN_CHARACTERS_MAX: Final = 256
PATTERN_NESTING_MAX: Final = 32
"""Brackets within brackets."""
PATTERN_STATES_MAX: Final = 2_000
"""States of its automaton, repetitions written out."""
PATTERN_CACHE_MAX: Final = 1_000
"""Sets of states that a matcher remembers."""
OFFSET_RETENTION_MS: Final = 7 * 24 * 3_600 * 1_000
"""Default time that the positions of an empty group are kept."""
