"""What recovery found, told to operators: a node that serves again must not hide what it lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlog.storage.recovery.recovery import Recovered

_LOG = logging.getLogger(__name__)


def report(recovered: Recovered, *, unclean: bool) -> None:
    """Log it; `unclean`: the stop before was not clean."""
    _LOG.info(
        "store_recovered",
        extra={
            "clean": not unclean,
            "groups": len(recovered.groups),
            "frames": recovered.replayed_frames,
        },
    )
    for reason in recovered.damaged_checkpoints:
        _LOG.warning("checkpoint_damaged", extra={"reason": reason})
    for path in recovered.unknown:
        _LOG.warning("directory_unknown", extra={"path": path})
    for group in recovered.groups:
        if group.replay.lost is not None:
            _LOG.error(
                "replica_distrusted",
                extra={
                    "group": group.replay.group_id,
                    "partition": group.replay.creation.partition,
                    "reason": group.replay.lost,
                    "kept": group.state.end.end,
                },
            )
        elif group.damage is not None:
            _LOG.error(
                "replica_damaged",
                extra={
                    "group": group.replay.group_id,
                    "partition": group.replay.creation.partition,
                    "reason": group.damage,
                },
            )
