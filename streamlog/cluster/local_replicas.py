"""Makes this node hold what the metadata puts on it: creates and removes replicas of partitions.

Rules:
1. A replica that was created here once and is gone has lost data: it is not made anew (it would
   vote with a blank memory) but reported, and stays out until the metadata places another, of a
   new id, here. `LocalState.created_through` tells.
2. A replica that is here and may have forgotten its votes (`ReplicaLog.lost`) is reported likewise.
   When another is placed here, it is removed, but not before the group has taken the new one in by
   a committed configuration (`committed_members`): else what is left of it may still be needed.
3. A replica is removed only because of a committed record: its topic was deleted, or its move away
   was settled, or (2). A group the metadata has not heard of is left alone and reported.
4. Until the metadata is replayed up to `created_through`, nothing is done: everything below was
   carried out before the restart, removals included.
5. When part of the journal could not be read, the creation of a replica may be forgotten of which
   `LocalState` does not tell yet. So every replica that should be here, and is not, is taken for
   one that was (rule 1), as of this start's registration: whatever was carried out before it lies
   below it in the metadata's log.
6. A replica that comes to a node which an older one of its partition has yet to leave is created
   when that is gone; `LocalState.waiting` tells that it is not lost meanwhile.

Creations run CREATIONS_CONCURRENT at a time, so that they share journal flushes, and the mark is
saved once a round: after its creations, and before its removals. For a crash after a removal must
not lead to a state in which what was removed should still be here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from replication.group import GroupHost, ReplicatedGroup
from replication.types import GroupCreation, GroupId, Offset, Replica, ReplicaId
from streamlog.cluster.committed_members import Members
from streamlog.cluster.formation import Identity
from streamlog.cluster.local_state import LocalStateFile
from streamlog.cluster.metadata.records import (
    PartitionsAdded,
    PartitionsReassigned,
    PartitionsSettled,
    Record,
    TopicCreated,
    TopicDeleted,
)
from streamlog.cluster.metadata.state import MetadataState, Partition, Topic
from streamlog.model.internal_topics import CONSUMER_OFFSETS

CREATIONS_CONCURRENT: Final = 128
RETRY_PAUSE_MS: Final = 500
LEAD_PAUSE_MS: Final = 20
"""Before the creation of replicas that shall lead: a candidate whose voters are not there yet loses
an election timeout. Nodes hear of a creation a few ms apart."""
KIND: Final = "partition"

_log = logging.getLogger(__name__)


class LocalReplicas:
    """Follows the applied metadata. Implements replication.runtime.applied.AppliedListener."""

    def __init__(
        self,
        identity: Identity,
        host: GroupHost,
        local: LocalStateFile,
        members_of: Callable[[Sequence[GroupId]], Awaitable[Members]],
        is_registered: Callable[[], bool],
    ) -> None:
        """`members_of` asks the leaders of groups; see CommittedMembers.of. `is_registered`: the
        metadata that is applied here names this start of the node."""
        self._identity, self._host, self._local = identity, host, local
        self._members_of, self._is_registered = members_of, is_registered
        self._state: MetadataState | None = None
        self._end = Offset(0)
        self._touched: dict[int, None] = {}
        self._everything = True
        self._wake = asyncio.Event()
        self._by_topic: dict[int, dict[GroupId, None]] = {}
        self._lost: dict[GroupId, Partition] = {}
        self._unknown: dict[GroupId, None] = {}
        self._waiting: dict[GroupId, ReplicaId] = {}
        self._gone: dict[GroupId, ReplicaId] = {}
        """Replicas that were here once, where one is that was here before them: a damaged journal
        forgot that they came."""
        self._listeners: list[Callable[[], None]] = []

    @property
    def lost(self) -> Sequence[Partition]:
        """Partitions whose replica was here and is gone, or may have forgotten its votes; they stay
        out."""
        return tuple(
            partition
            for group_id, partition in self._lost.items()
            if (hosted := self._host.groups.get(group_id)) is None
            or hosted.log.lost
            or group_id in self._gone
        )

    @property
    def to_renew(self) -> Sequence[tuple[Partition, ReplicaId]]:
        """Those of them that no other replica was placed here for yet, with the lost one's id."""
        found: list[tuple[Partition, ReplicaId]] = []
        for partition in self.lost:
            wanted, hosted = self._own(partition), self._host.groups.get(partition.group_id)
            if wanted is None:
                continue
            gone = self._gone.get(partition.group_id)
            if hosted is None or wanted.replica_id in {_hosted_id(hosted), gone}:
                found.append((partition, wanted.replica_id))
        return found

    def on_changed(self, listener: Callable[[], None]) -> None:
        """It is called after replicas were created or removed here."""
        self._listeners.append(listener)

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: MetadataState, end: Offset
    ) -> None:
        self._state, self._end = state, end
        for _, record in records:
            match record:
                case TopicCreated() | PartitionsAdded() | TopicDeleted():
                    self._touched[record.topic_id] = None
                case PartitionsReassigned():
                    self._touched.update((each.topic_id, None) for each in record.reassignments)
                case PartitionsSettled():
                    self._touched.update((topic_id, None) for topic_id, _ in record.partitions)
        if self._touched or self._everything:
            self._wake.set()

    def state_replaced(self, state: MetadataState, end: Offset) -> None:
        self._state, self._end = state, end
        self._everything = True
        self._wake.set()

    async def run(self) -> None:
        """Carries out what is due, until cancelled."""
        for group_id, group in self._host.groups.items():
            if group.creation.kind == KIND:
                self._by_topic.setdefault(group.creation.topic_id, {})[group_id] = None
        while True:
            await self._wake.wait()
            self._wake.clear()
            local = self._local.state
            if self._state is None or self._end < local.created_through:
                continue
            if local.creations_forgotten and not self._is_registered():
                continue
            if not await self._round(self._state, self._end):
                await asyncio.sleep(RETRY_PAUSE_MS / 1_000)
                self._wake.set()

    async def _round(self, state: MetadataState, end: Offset) -> bool:
        """Bring the touched topics to what `state` says; False when something is left to do."""
        touched, everything = self._touched, self._everything
        self._touched, self._everything = {}, False
        if everything:
            touched = dict.fromkeys((*state.topics, *self._by_topic))
            self._waiting.clear()
            self._gone.clear()
        creations, removals, replacements = self._due(state, touched)
        for group_id, lost in list(self._lost.items()):
            if not self._is_wanted(state, lost):
                del self._lost[group_id]
        waiting = await self._judge(replacements, creations, removals)
        if not creations and not removals:
            if self._local.state.creations_forgotten:
                await self._save(end, ())
            return not waiting
        # Removals first: a replica may come back to a node that an older one has yet to leave.
        if removals:
            await self._save(end, creations)
        failures = await self._carry_out([partial(self._remove, *each) for each in removals])
        if removals:
            self._tell_changed()
        followed = [each for each in creations if not self._shall_lead(each)]
        led = [each for each in creations if self._shall_lead(each)]
        failures += await self._carry_out([partial(self._create, each) for each in followed])
        if any(len(each.replicas) > 1 for each in led if each.version == 0):
            await asyncio.sleep(LEAD_PAUSE_MS / 1_000)
        failures += await self._carry_out([partial(self._create, each) for each in led])
        self._tell_changed()
        if failures:
            _log.error(
                "replicas_not_changed",
                extra={
                    "failed": len(failures),
                    "due": len(creations) + len(removals),
                    "reason": str(failures[0]),
                },
            )
            self._touched.update(touched)
            self._everything = self._everything or everything
            return False
        await self._save(end, ())
        return not waiting

    async def _judge(
        self,
        replacements: Sequence[Partition],
        creations: list[Partition],
        removals: list[tuple[int, GroupId]],
    ) -> bool:
        """Lost replicas may go whose groups have taken in those that replace them; True when some
        are left that wait."""
        if not replacements:
            return False
        members = await self._members_of([each.group_id for each in replacements])
        waiting = False
        for partition in replacements:
            replica = self._own(partition)
            assert replica is not None
            if replica.replica_id in members.get(partition.group_id, ()):
                removals.append((partition.topic_id, partition.group_id))
                creations.append(partition)
                self._waiting.pop(partition.group_id, None)
                # Between the two nothing is here, and the one to come must not pass for lost.
                self._lost.pop(partition.group_id, None)
            else:
                self._touched[partition.topic_id] = None
                waiting = True
        return waiting

    async def _save(self, end: Offset, due: Sequence[Partition]) -> None:
        """Everything below `end` is carried out, but for what waits and what is `due`."""
        waiting = dict(self._waiting)
        for partition in due:
            newest = self._newest(partition)
            assert newest is not None
            waiting[partition.group_id] = newest.replica_id
        await self._local.save(
            created_through=end,
            waiting=tuple(sorted(waiting.items())),
            creations_forgotten=False,
        )

    def _tell_changed(self) -> None:
        for listener in self._listeners:
            listener()

    def _due(
        self, state: MetadataState, touched: dict[int, None]
    ) -> tuple[list[Partition], list[tuple[int, GroupId]], list[Partition]]:
        """What to create, what to remove, and where a lost replica is to be replaced, for these
        topics."""
        creations: list[Partition] = []
        removals: list[tuple[int, GroupId]] = []
        replacements: list[Partition] = []
        local = self._local.state
        not_yet_here = dict(local.waiting) | self._waiting
        for topic_id in touched:
            topic = state.topics.get(topic_id)
            wanted: dict[GroupId, None] = {}
            for partition in topic.partitions if topic else ():
                group_id = partition.group_id
                hosted = self._host.groups.get(group_id)
                newest, own = self._newest(partition), self._own(partition)
                self._waiting.pop(group_id, None)
                self._gone.pop(group_id, None)
                was_here = newest is not None and (
                    local.creations_forgotten
                    or (
                        partition.placed_offset(newest) < local.created_through
                        and not_yet_here.get(group_id) != newest.replica_id
                    )
                )
                if hosted is not None and self._is_needed(partition, hosted):
                    wanted[group_id] = None
                    replaced = newest is not None and newest.replica_id != _hosted_id(hosted)
                    if newest is not None and replaced and was_here:
                        self._gone[group_id] = newest.replica_id
                    elif newest is not None and replaced:
                        self._waiting[group_id] = newest.replica_id
                    if own is not None and (hosted.log.lost or group_id in self._gone):
                        self._report_lost(partition)
                        if own.replica_id == self._waiting.get(group_id):
                            replacements.append(partition)
                    continue
                if newest is None:
                    continue
                is_leaving = newest in partition.leaving
                if was_here or partition.birth_membership(newest) is None:
                    if not is_leaving:
                        self._report_lost(partition)
                elif is_leaving and not partition.is_founder(newest):
                    self._waiting[group_id] = newest.replica_id  # it may be wanted again
                else:
                    creations.append(partition)
            for group_id in self._by_topic.get(topic_id, {}):
                if group_id in wanted:
                    continue
                if topic is None:
                    self._waiting.pop(group_id, None)
                if self._was_given_up(state, topic, group_id):
                    removals.append((topic_id, group_id))
                else:
                    self._report_unknown(group_id)
        return creations, removals, replacements

    async def _carry_out(self, actions: Sequence[Callable[[], Awaitable[None]]]) -> list[Exception]:
        """Run all, a bounded number at a time; what failed."""
        queue = deque(actions)
        failures: list[Exception] = []

        async def work() -> None:
            while queue:
                action = queue.popleft()
                try:
                    await action()
                except Exception as error:
                    failures.append(error)

        await asyncio.gather(*(work() for _ in range(min(len(queue), CREATIONS_CONCURRENT))))
        return failures

    def _own(self, partition: Partition) -> Replica | None:
        """The replica that shall be in this directory."""
        replica = partition.replica_on(self._identity.node_id)
        if replica is None or replica.directory_id != self._identity.directory_id:
            return None
        return replica

    def _newest(self, partition: Partition) -> Replica | None:
        """The last replica that was placed in this directory, leaving or not."""
        here = [
            each
            for each in (*partition.replicas, *partition.leaving)
            if (each.node_id, each.directory_id)
            == (self._identity.node_id, self._identity.directory_id)
        ]
        return max(here, key=lambda each: each.replica_id, default=None)

    def _was_given_up(self, state: MetadataState, topic: Topic | None, group_id: GroupId) -> bool:
        """A committed record says that the replica here is needed no more. It is not enough that
        the metadata does not name it: a replica may be here before its record is replayed."""
        if topic is None:
            return group_id < state.next_group_id
        partition = next((each for each in topic.partitions if each.group_id == group_id), None)
        own = _hosted_id(self._host.groups[group_id])
        return partition is not None and own < partition.next_replica_id

    def _is_wanted(self, state: MetadataState, lost: Partition) -> bool:
        """The replica that was lost is still here, or still the one that shall be here."""
        if lost.group_id in self._host.groups:
            return lost.group_id in self._gone or self._host.groups[lost.group_id].log.lost
        topic = state.topics.get(lost.topic_id)
        if topic is None or lost.number >= len(topic.partitions):
            return False
        return self._own(topic.partitions[lost.number]) == self._own(lost)

    @staticmethod
    def _is_needed(partition: Partition, hosted: ReplicatedGroup) -> bool:
        """The replica that is here is wanted, or may still be."""
        own = _hosted_id(hosted)
        return any(each.replica_id == own for each in (*partition.replicas, *partition.leaving))

    def _shall_lead(self, partition: Partition) -> bool:
        return partition.version == 0 and partition.preferred_leader == self._identity.node_id

    async def _create(self, partition: Partition) -> None:
        local = self._newest(partition)
        assert local is not None
        membership = partition.birth_membership(local)
        assert membership is not None
        creation = GroupCreation(
            partition.group_id,
            membership,
            local.replica_id,
            KIND,
            partition.topic_id,
            partition.number,
            freed_by_snapshots=self._is_coordinated(partition.topic_id),
        )
        await self._host.create(creation, campaign=self._shall_lead(partition))
        self._by_topic.setdefault(partition.topic_id, {})[partition.group_id] = None

    def _is_coordinated(self, topic_id: int) -> bool:
        """The topic's logs are those of coordinators."""
        topic = None if self._state is None else self._state.topics.get(topic_id)
        return topic is not None and topic.name == CONSUMER_OFFSETS

    async def _remove(self, topic_id: int, group_id: GroupId) -> None:
        await self._host.remove(group_id)
        groups = self._by_topic[topic_id]
        del groups[group_id]
        if not groups:
            del self._by_topic[topic_id]

    def _report_lost(self, partition: Partition) -> None:
        known = partition.group_id in self._lost
        self._lost[partition.group_id] = partition
        if known:
            return
        note = "it is not made anew, because a blank replica must not vote"
        if partition.group_id in self._host.groups:
            note = "part of the journal can not be read, and a vote may have been there"
        if len(partition.replicas) + len(partition.leaving) == 1:
            note += (
                "; it is the only one: streamlog partition force-recover goes on with what is left"
            )
        else:
            note += "; the others are asked to take a new one in its place"
        _log.error(
            "replica_lost",
            extra={
                "topic_id": partition.topic_id,
                "partition": partition.number,
                "group": partition.group_id,
                "note": note,
            },
        )

    def _report_unknown(self, group_id: GroupId) -> None:
        if group_id not in self._unknown:
            self._unknown[group_id] = None
            # After a crash among creations this is so until their record is replayed again.
            _log.info("group_unknown", extra={"group": group_id})


def _hosted_id(hosted: ReplicatedGroup) -> ReplicaId:
    return hosted.creation.local_replica_id
