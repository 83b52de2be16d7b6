"""One replica of a partition of `__consumer_offsets`, and while it leads, its groups' coordinator.

Every replica replays the log. When this one leads and has applied all that was committed before its
term, it begins to coordinate (`Leading`), and throws that away when it leads no more. Commands go
through the runtime, which answers when all they saw is committed; questions go through a read
barrier, so that a coordinator that was deposed and does not know it confirms nobody's session.

Invariant: `_lead` exists only in a term in which this replica leads.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar, cast

from consumer_groups.commands import (
    AcknowledgeRevocation,
    Command,
    CommitOffsets,
    DeleteGroup,
    DeleteOffsets,
    ExpireOffsets,
    Join,
    Leave,
    OffsetToCommit,
    ResetOffsets,
    StoreOffsets,
)
from consumer_groups.coordinator import queries
from consumer_groups.coordinator.state import CoordinatorState
from consumer_groups.errors import GroupError
from consumer_groups.errors import Reason as GroupReason
from consumer_groups.records import Record
from consumer_groups.responses import Changed, MemberAssignment, OffsetsRemoved, Response
from consumer_groups.types import (
    Commit,
    Epoch,
    GroupName,
    MemberId,
    MemberInfo,
    TopicCatalog,
    TopicPartition,
)
from replication.errors import NotLeader, ReplicationError, StateMachineFailed
from replication.group import ReplicatedGroup
from replication.log import EntryCodec
from replication.ports import Clock
from replication.raft.effects import Role
from replication.runtime.limits import RuntimeLimits
from replication.runtime.runtime import StateMachineRuntime
from replication.transport.tasks import TaskOwner
from replication.types import Membership, NodeId, Offset, Term
from streamlog.groups.catalogs import Catalogs, same_topics
from streamlog.groups.counters import GroupCounters
from streamlog.groups.findings import AlarmBounds, Finding
from streamlog.groups.leading import Leading
from streamlog.groups.machine import GroupMachine, GroupRuntime
from streamlog.groups.sessions import MemberSession
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.live import LiveSettings

LEAD_RETRY_MS: Final = 100
"""Until a new leader asks again for what was committed before it."""

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class GroupCoordinator:
    """The groups of one partition. Calls raise GroupError, ReplicationError (NotLeader), and
    StreamlogError(LEADER_NOT_AVAILABLE) while a new leader begins."""

    def __init__(
        self,
        group: ReplicatedGroup,
        codec: EntryCodec,
        clock: Clock,
        catalogs: Catalogs,
        settings: LiveSettings,
        counters: GroupCounters,
    ) -> None:
        self.group = group
        self._clock, self._catalogs, self._settings = clock, catalogs, settings
        self._counters = counters
        self._runtime: GroupRuntime = StateMachineRuntime(
            group,
            GroupMachine(),
            codec,
            clock,
            limits=RuntimeLimits(
                snapshot_bytes=settings.now.snapshot_bytes,
                snapshot_records=settings.now.snapshot_records,
            ),
            on_failure=self._machine_failed,
        )
        self._runtime.subscribe(self)
        self._tasks = TaskOwner(self._task_failed)
        self._lead: Leading | None = None
        self._duties: list[Task[None]] = []

    async def start(self) -> None:
        """Replay, follow, and lead when it is this replica's turn. Raises StateMachineFailed."""
        await self._runtime.start()
        self.group.add_observer(self)
        if self.group.established:
            self.leadership_established(self.group.term)

    async def stop(self) -> None:
        """End streams and timers, follow no more."""
        self._step_down()
        await self._tasks.stop()
        await self._runtime.stop()

    @property
    def leads(self) -> bool:
        """It coordinates its groups now."""
        return self._lead is not None

    @property
    def term(self) -> Term:
        """Of the replica."""
        return self.group.term

    @property
    def state(self) -> CoordinatorState:
        """What is committed, as this replica has replayed it."""
        return self._runtime.state

    @property
    def applied(self) -> Offset:
        """Everything below this offset is in `state`."""
        return self._runtime.applied

    # Members.

    async def join(self, name: GroupName, info: MemberInfo, epoch: Epoch) -> MemberSession:
        """A member joins, or comes back, with a new stream; its assignment is due on it."""
        lead = self._leading()
        await self._join(lead, name, info, epoch)
        return self._still(lead).connect(name, info.member_id)

    async def change(self, session: MemberSession, info: MemberInfo, epoch: Epoch) -> None:
        """A member that has a stream changes what it says of itself."""
        lead = self._of(session)
        lead.heard(session)
        await self._join(lead, session.group, info, epoch)
        session.tell_assignment()

    async def _join(self, lead: Leading, name: GroupName, info: MemberInfo, epoch: Epoch) -> None:
        catalog = self._catalogs.current()
        with lead.joining(name, info) as held:
            now_ms = self._clock.wall_ms()
            await self._execute(Join(name, info, catalog, now_ms, epoch, holder_connected=held))
        self._refresh_if_changed(name, catalog)

    def disconnected(self, session: MemberSession) -> None:
        """The stream ended, for whatever reason."""
        session.end(None)
        if self._lead is not None:
            self._lead.disconnected(session)

    async def heartbeat(
        self, session: MemberSession, epoch: Epoch, assigned_count: int, handled_count: int
    ) -> queries.Heartbeat:
        """Confirm the member's session; an assignment that it has not seen becomes due."""
        self._of(session).heard(session, handled_count)
        answer = await self._read(
            lambda state: queries.heartbeat(
                state, session.group, session.member_id, epoch, assigned_count
            )
        )
        if not answer.current:
            session.tell_assignment()
        return answer

    async def acknowledge(
        self, session: MemberSession, epoch: Epoch, revoked: Sequence[TopicPartition]
    ) -> None:
        """The member gave up `revoked`; what it owns then becomes due."""
        self._of(session).heard(session)
        await self._execute(
            AcknowledgeRevocation(session.group, session.member_id, epoch, tuple(revoked))
        )
        session.tell_assignment()

    async def commit(
        self, session: MemberSession, epoch: Epoch, offsets: Sequence[OffsetToCommit]
    ) -> None:
        """The member commits; committed when it returns."""
        self._of(session).heard(session)
        await self._execute(
            CommitOffsets(
                session.group, session.member_id, epoch, tuple(offsets), self._clock.wall_ms()
            )
        )

    async def leave(self, session: MemberSession) -> None:
        """The member goes for good; committed when it returns."""
        lead = self._of(session)
        # It shall end as the member wants it, not as of a member that was removed.
        lead.disconnected(session)
        await self._execute(Leave(session.group, session.member_id, self._clock.wall_ms()))

    def assignment(self, session: MemberSession) -> tuple[MemberAssignment, MemberInfo]:
        """What the member owns by what is committed now, and what it said of itself."""
        found = queries.assignment(self.state, session.group, session.member_id)
        return found, self.state.groups[session.group].members[session.member_id].info

    def topic_names(self, name: GroupName) -> dict[int, str]:
        """Names of the topics that the group reads, by id."""
        group = self.state.groups.get(name)
        return {} if group is None else {v.topic_id: v.name for v in group.topics.values()}

    # Everybody else.

    async def store(self, name: GroupName, offsets: Sequence[OffsetToCommit]) -> None:
        """Commit without being a member."""
        catalog = self._catalogs.current()
        await self._execute(StoreOffsets(name, tuple(offsets), catalog, self._clock.wall_ms()))
        self._refresh_if_changed(name, catalog)

    async def reset(self, name: GroupName, offsets: Sequence[OffsetToCommit]) -> Epoch:
        """Set positions; the group's epoch afterwards."""
        catalog = self._catalogs.current()
        response = await self._execute(
            ResetOffsets(name, tuple(offsets), catalog, self._clock.wall_ms())
        )
        self._refresh_if_changed(name, catalog)
        return cast("Changed", response).group_epoch

    async def delete_offsets(self, name: GroupName, partitions: Iterable[TopicPartition]) -> int:
        """Forget positions; how many went."""
        response = await self._execute(DeleteOffsets(name, tuple(partitions)))
        return cast("OffsetsRemoved", response).count

    async def delete_group(self, name: GroupName) -> int:
        """Forget a group; how many positions went."""
        return cast("OffsetsRemoved", await self._execute(DeleteGroup(name))).count

    async def committed_offsets(
        self, name: GroupName, partitions: Sequence[TopicPartition] | None
    ) -> dict[TopicPartition, Commit]:
        """Positions of these partitions, or of all; none of a group that does not exist."""
        try:
            return await self._read(lambda state: queries.committed(state, name, partitions))
        except GroupError as error:
            if error.reason is GroupReason.UNKNOWN_GROUP:
                return {}
            raise

    async def list_groups(self) -> tuple[queries.GroupListing, ...]:
        """All groups, by name."""
        return await self._read(queries.list_groups)

    async def describe(self, name: GroupName) -> queries.GroupDescription:
        """All about a group."""
        return await self._read(lambda state: queries.describe(state, name))

    def is_connected(self, name: GroupName, member_id: MemberId) -> bool:
        """The member has a stream here."""
        return self._lead is not None and self._lead.is_connected(name, member_id)

    def vitals(self, name: GroupName, member_id: MemberId) -> tuple[float, float]:
        """Milliseconds since the member was heard of, and since it handled anything (0 while it
        owns nothing); zeros for one that is not known here."""
        found = self._lead.vitals(name, member_id) if self._lead is not None else None
        return found or (0.0, 0.0)

    def findings(self, name: GroupName) -> tuple[Finding, ...]:
        """What somebody should look at in the group; nothing while this node does not lead."""
        group = self.state.groups.get(name)
        if self._lead is None or group is None:
            return ()
        now = self._settings.now
        bounds = AlarmBounds(now.groups_alarm_no_progress_ms, now.groups_alarm_unowned_ms)
        return self._lead.findings(group, bounds)

    def alarms(
        self,
    ) -> tuple[
        list[tuple[GroupName, MemberId, float]], list[tuple[GroupName, TopicPartition, float]]
    ]:
        """Members that stand still and partitions that nobody owns for longer than the settings
        allow, with how long, ms; none while this node does not lead."""
        now = self._settings.now
        if self._lead is None:
            return [], []
        stalled_ms, unowned_ms = now.groups_alarm_no_progress_ms, now.groups_alarm_unowned_ms
        return (
            self._lead.stalled(stalled_ms) if stalled_ms else [],
            self._lead.unowned(unowned_ms) if unowned_ms else [],
        )

    async def expire_offsets(self, retention_ms: int) -> None:
        """Forget positions of groups that have been empty for so long."""
        if self._lead is None:
            return
        now_ms = self._clock.wall_ms()
        due = [
            name
            for name, group in self.state.groups.items()
            if not group.members and now_ms - group.empty_since_ms >= retention_ms
        ]
        for name in sorted(due):
            try:
                await self._execute(ExpireOffsets(name, retention_ms, now_ms))
            except GroupError:
                continue
            except (ReplicationError, StreamlogError):
                return  # Not the leader any more, or no majority: the next round is soon enough.

    def topics_changed(self) -> None:
        """The metadata has other topics than before."""
        if self._lead is not None:
            self._lead.topics_changed()

    # AppliedListener.

    def records_applied(
        self, records: Sequence[tuple[Offset, Record]], state: CoordinatorState, end: Offset
    ) -> None:
        del end
        if self._lead is not None and records:
            self._lead.follow(dict.fromkeys(record.group for _, record in records), state)
            self._counters.applied(record for _, record in records)

    def state_replaced(self, state: CoordinatorState, end: Offset) -> None:
        del state, end
        self._step_down()

    # GroupObserver.

    def role_changed(self, role: Role, term: Term, leader: NodeId | None) -> None:
        del leader
        if self._lead is not None and (role is not Role.LEADER or self._lead.term != term):
            self._step_down()

    def leadership_established(self, term: Term) -> None:
        self._tasks.start(self._begin(term), "begin to coordinate")

    def committed(self, end: Offset) -> None:
        pass

    def log_replaced(self) -> None:
        self._step_down()

    def membership_changed(self, membership: Membership, committed: bool) -> None:
        pass

    # Leading.

    async def _begin(self, term: Term) -> None:
        """Coordinate, as soon as all that was committed before this term is applied."""
        while self.group.role is Role.LEADER and self.group.term == term:
            try:
                await self._runtime.read(lambda _: None, self._timeout_ms())
            except StateMachineFailed:
                return
            except ReplicationError:
                await asyncio.sleep(LEAD_RETRY_MS / 1_000)
                continue
            break
        if self._lead is not None or self.group.role is not Role.LEADER or self.group.term != term:
            return
        lead = self._lead = Leading(
            term,
            self.state,
            execute=self._execute,
            now_state=lambda: self.state,
            clock=self._clock,
            catalogs=self._catalogs,
            no_progress_ms=self._settings.now.groups_no_progress_ms,
        )
        started = (
            self._tasks.start(lead.watch_deadlines(), "deadlines of members"),
            self._tasks.start(lead.watch_topics(), "topics of groups"),
        )
        self._duties = [task for task in started if task is not None]
        _log.info(
            "group_coordinator_leads",
            extra={
                "partition": self.group.creation.partition,
                "term": term,
                "groups": len(self.state.groups),
            },
        )

    def _step_down(self) -> None:
        lead, self._lead = self._lead, None
        duties, self._duties = self._duties, []
        for task in duties:
            task.cancel()
        if lead is not None:
            lead.end(self._not_leader())

    def _leading(self) -> Leading:
        """Raises NotLeader, or LEADER_NOT_AVAILABLE while a new leader begins."""
        if self._lead is not None:
            return self._lead
        if self._runtime.failure is not None:
            raise self._runtime.failure
        if self.group.role is not Role.LEADER:
            raise self._not_leader()
        raise StreamlogError(
            Reason.LEADER_NOT_AVAILABLE,
            "the coordinator has just been elected and begins to lead",
            retry_after_ms=50,
        )

    def _still(self, lead: Leading) -> Leading:
        """After a wait: the term is the same. Raises NotLeader."""
        if self._lead is not lead:
            raise self._not_leader()
        return lead

    def _of(self, session: MemberSession) -> Leading:
        """Raises what the session ended with, if it did."""
        if session.ended:
            raise session.reason or self._not_leader()
        return self._leading()

    async def _execute(self, command: Command) -> Response:
        self._leading()
        return cast("Response", await self._runtime.execute(command, self._timeout_ms()))

    async def _read(self, function: Callable[[CoordinatorState], Answer]) -> Answer:
        self._leading()
        return await self._runtime.read(function, self._timeout_ms())

    def _refresh_if_changed(self, name: GroupName, catalog: TopicCatalog) -> None:
        """Topics changed while a decision was made on the older ones, and the group may not have
        been there when the others were told."""
        if self._lead is not None and not same_topics(self._catalogs.current(), catalog):
            self._lead.refresh_soon(name)

    def _timeout_ms(self) -> int:
        return self._settings.now.request_timeout_ms

    def _not_leader(self) -> NotLeader:
        return NotLeader(self.group.creation.group_id, self.group.term, self.group.leader)

    def _machine_failed(self, failure: StateMachineFailed) -> None:
        self._step_down()
        _log.error("group_coordinator_failed", extra={"reason": str(failure)})

    def _task_failed(self, error: BaseException) -> None:
        _log.error("group_task_failed", exc_info=error)
