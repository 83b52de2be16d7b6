"""Brings a command to the metadata leader, wherever that is, and its answer back.

A definite "not now" (NOT_LEADER, no leader, a full queue) is tried again until the time is up. An
answer that never came may hide a change that was made; the command is sent again all the same,
because every command is harmless when it is repeated (topics: `request_id`; registrations are
idempotent; a block of producer ids at worst is wasted). Only when the time is up with no answer
after one that got lost, METADATA_OUTCOME_UNKNOWN says so.

CLUSTER_MISMATCH is a "not here" for a node that remembers several controllers: one of them that
lost its disk may have become a cluster of its own, and lead that.
"""

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.message import DecodeError

from replication.group import GroupHost
from replication.ports import CallFailed, Clock, Random
from replication.types import METADATA_GROUP, halves
from streamlog.cluster.calls import PeerChannels
from streamlog.cluster.executor import Executed, Executor, decode_executed
from streamlog.cluster.metadata.command_codec import command_to_proto
from streamlog.cluster.metadata.records import Command
from streamlog.cluster.remembered_controllers import remembered_controllers
from streamlog.cluster.v1 import cluster_service_pb2 as pb
from streamlog.cluster.view import ClusterView
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NodeConfig

BACKOFF_MIN_MS: Final = 20.0
BACKOFF_MAX_MS: Final = 500.0
ATTEMPT_TIMEOUT_MS: Final = 2_000.0
"""A command is sent again, maybe elsewhere, after so long without an answer."""

_TRY_AGAIN: Final = frozenset(
    {Reason.NOT_LEADER, Reason.LEADER_NOT_AVAILABLE, Reason.METADATA_UNAVAILABLE, Reason.OVERLOADED}
)
_UNKNOWN: Final = frozenset(
    {Reason.METADATA_OUTCOME_UNKNOWN, Reason.REQUEST_TIMED_OUT, Reason.STORAGE_FAILED}
)


class Forwarding:
    """Executes commands on whichever node leads the metadata."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        view: ClusterView,
        host: GroupHost,
        executor: Executor,
        channels: PeerChannels,
        clock: Clock,
        random: Random,
    ) -> None:
        self._view, self._host, self._executor = view, host, executor
        self._channels, self._clock, self._random = channels, clock, random
        self._controllers = [
            address for node_id, address in config.controllers if node_id != config.node_id
        ]
        self._next = 0
        self._hint: str | None = None

    async def execute(self, command: Command, timeout_ms: float) -> Executed:
        """Execute within `timeout_ms`.

        Raises StreamlogError: the refusal, METADATA_UNAVAILABLE (certainly not done), or
        METADATA_OUTCOME_UNKNOWN.
        """
        deadline = self._clock.monotonic_ms() + timeout_ms
        backoff_ms, unknown = BACKOFF_MIN_MS, False
        last = "no controller is known"
        while (left_ms := deadline - self._clock.monotonic_ms()) > 0:
            try:
                return await self._attempt(command, min(left_ms, ATTEMPT_TIMEOUT_MS))
            except StreamlogError as error:
                last = error.message
                if error.reason in _UNKNOWN:
                    unknown = True
                elif error.reason not in _TRY_AGAIN and not self._is_stray(error):
                    raise
            except CallFailed as failed:
                last, unknown = str(failed), True
            # Half to all of the backoff: those who lost the same leader come back one by one.
            pause_ms = backoff_ms * (0.5 + self._random.random() / 2)
            backoff_ms = min(2 * backoff_ms, BACKOFF_MAX_MS)
            await asyncio.sleep(min(pause_ms, max(left_ms, 0)) / 1_000)
        reason = Reason.METADATA_OUTCOME_UNKNOWN if unknown else Reason.METADATA_UNAVAILABLE
        raise StreamlogError(reason, f"{reason.info.documentation} Last heard: {last}")

    async def _attempt(self, command: Command, timeout_ms: float) -> Executed:
        if self._executor.leads:
            return await self._executor.execute(command, timeout_ms)
        address = self._choose()
        if address is None:
            raise StreamlogError(Reason.LEADER_NOT_AVAILABLE, "no metadata leader is known")
        high, low = halves(self._view.cluster_id)
        request = pb.ExecuteRequest(
            command=command_to_proto(command), cluster_id_high=high, cluster_id_low=low
        )
        try:
            data = await self._channels.call(
                address, "Execute", request.SerializeToString(), timeout_ms
            )
            return decode_executed(data)
        except StreamlogError as error:
            if error.reason is Reason.NOT_LEADER:
                self._hint = error.metadata.get("leader_address") or None
                if self._hint == address:
                    self._hint = None
            raise
        except DecodeError as error:
            raise StreamlogError(
                Reason.METADATA_OUTCOME_UNKNOWN, f"{address} sent no ExecuteResponse"
            ) from error

    def _is_stray(self, error: StreamlogError) -> bool:
        """The refusal comes from one controller that is another cluster now, and says nothing about
        the cluster of this node."""
        mismatch = error.reason is Reason.CLUSTER_MISMATCH
        return mismatch and len(remembered_controllers(self._host)) > 1

    def _choose(self) -> str | None:
        """Where to try: what the last one said, what this node knows, then each controller."""
        if self._hint is not None:
            hint, self._hint = self._hint, None
            return hint
        known = self._host.leader_of(METADATA_GROUP)
        if known is not None and self._next % 2 == 0:
            address = self._view.address_of(known.node_id)
            if address is not None:
                self._next += 1
                return address
        if not self._controllers:
            return None
        self._next += 1
        return self._controllers[self._next // 2 % len(self._controllers)]
