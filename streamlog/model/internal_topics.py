"""Topics that the cluster keeps for itself: their names begin with two underscores.

Anybody may read them and see where they live; only nodes make them, write to them, or change them.
"""

from __future__ import annotations

from typing import Final

from streamlog.model.errors import Reason, StreamlogError

INTERNAL_PREFIX: Final = "__"
CONSUMER_OFFSETS: Final = "__consumer_offsets"
"""Logs of the coordinators of consumer groups."""


def is_internal(name: str) -> bool:
    """The name is one that users may not take."""
    return name.startswith(INTERNAL_PREFIX)


def check_not_internal(name: str) -> None:
    """Raises INTERNAL_TOPIC."""
    if is_internal(name):
        raise StreamlogError(
            Reason.INTERNAL_TOPIC,
            f"topic {name[:249]!a} is the cluster's own: names that begin with"
            f" {INTERNAL_PREFIX!r} can not be created, changed, written to or deleted by users",
            {"topic": name[:249]},
        )
