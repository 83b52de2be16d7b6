"""Gives this node another replica of the metadata when its own may have forgotten its votes.

Part of the journal could not be read back, and a vote may have been there, so the replica takes part
no more under its id. The node registers again and says so; the answer is committed by a majority
without it, and names the id of the replica that shall take its place, which follows first, and
votes when it has the log (`metadata_members`). Only then the lost one is removed.

Where no such majority is, nothing is removed: the node waits, and says what an operator can do. It
goes on when the metadata was forced on with what is left here (`streamlog cluster force-recover`),
or with what another node has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from replication.group import GroupHost, ReplicatedGroup
from replication.types import METADATA_GROUP
from streamlog.cluster.forwarding import Forwarding
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.records import RegisterNode
from streamlog.cluster.metadata.state import Founding
from streamlog.model.errors import Reason, StreamlogError

PAUSE_MS: Final = 500
TIMEOUT_MS: Final = 2_000
_REFUSALS: Final = frozenset({Reason.CLUSTER_MISMATCH, Reason.NODE_ID_TAKEN})
"""Answers after which the node must not go on."""

_log = logging.getLogger(__name__)


class MetadataRenewal:
    """Of one node, at its start."""

    def __init__(
        self,
        local: LocalStateFile,
        host: GroupHost,
        forwarding: Forwarding,
        registration: Callable[[Founding], RegisterNode],
    ) -> None:
        self._local, self._host, self._forwarding = local, host, forwarding
        self._registration = registration

    async def renewed(self, group: ReplicatedGroup, founding: Founding) -> ReplicatedGroup | None:
        """The replica when it is not lost any more; None when it is removed, and the one that
        `LocalState.metadata_replica_id` names is to be made. Takes as long as it takes.

        Raises StreamlogError when the node must not go on, OSError.
        """
        lost = own = group.creation.local_replica_id
        if self._local.state.metadata_group_created:
            # May be another than `own`, which it took the place of: a damaged journal forgot that.
            lost = self._local.state.metadata_replica_id or own
        _log.error(
            "metadata_replica_lost",
            extra={
                "replica_id": lost,
                "note": "part of the journal can not be read, and a vote may have been there; the"
                " other controllers are asked for a new replica. Without a majority of them: stop"
                " the controllers whose replica is lost, and streamlog cluster force-recover goes"
                " on with the one that has most",
            },
        )
        while self._local.state.metadata_replica_id == lost:
            if own == lost and not group.log.lost:
                return group
            command = replace(self._registration(founding), lost_metadata_replica=lost)
            try:
                executed = await self._forwarding.execute(command, TIMEOUT_MS)
            except StreamlogError as error:
                if error.reason in _REFUSALS:
                    raise
                _log.info("metadata_renewal_postponed", extra={"reason": str(error)})
                await asyncio.sleep(PAUSE_MS / 1_000)
                continue
            if executed.node is None or executed.node.metadata_replica_id == lost:
                reason = "the metadata's leader is of a version that knows no renewal"
                _log.info("metadata_renewal_postponed", extra={"reason": reason})
                await asyncio.sleep(PAUSE_MS / 1_000)
                continue
            # One save: who reads the file knows that the group is to be made, or made again.
            await self._local.save(
                metadata_replica_id=executed.node.metadata_replica_id,
                metadata_group_created=False,
            )
        await self._host.remove(METADATA_GROUP)
        return None
