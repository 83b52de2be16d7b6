"""What the leader of a coordinator's partition knows beside the log, for the term in which it leads.

A new leader knows nothing of its predecessor's: nobody is connected, everybody has a full session
(counted from when it leads), every group's topics are looked at once.

Invariant: a member has at most one session here; the newest stream replaces the one before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from consumer_groups.commands import Command, ExpireMember, TopicsChanged
from consumer_groups.coordinator.queries import groups_to_refresh
from consumer_groups.coordinator.state import CoordinatorState, Group
from consumer_groups.deadlines import Deadlines
from consumer_groups.errors import GroupError
from consumer_groups.errors import Reason as GroupReason
from consumer_groups.responses import Expired, Response
from consumer_groups.types import (
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    TopicCatalog,
    TopicPartition,
)
from replication.errors import ReplicationError
from replication.ports import Clock
from replication.types import Term
from streamlog.cluster.intervals import gather_bounded
from streamlog.groups.catalogs import Catalogs, same_topics
from streamlog.groups.findings import AlarmBounds, Finding, findings_of
from streamlog.groups.sessions import MemberSession
from streamlog.model.errors import Reason, StreamlogError

CONCURRENT: Final = 64
"""Members that are expired, and groups that are told of topics, at a time."""
REFRESH_RETRY_MS: Final = 1_000
"""Until a group whose topics could not be looked at is tried again."""

Execute = Callable[[Command], Awaitable[Response]]

_log = logging.getLogger(__name__)


class Leading:
    """Timers, streams and topics of one term."""

    def __init__(
        self,
        term: Term,
        state: CoordinatorState,
        *,
        execute: Execute,
        now_state: Callable[[], CoordinatorState],
        clock: Clock,
        catalogs: Catalogs,
        no_progress_ms: int,
    ) -> None:
        """Everybody in `state` has a full session from now; `no_progress_ms` 0: nobody is expired
        for want of progress. `execute` raises as the runtime does."""
        self.term = term
        self._execute, self._now_state = execute, now_state
        self._clock, self._catalogs = clock, catalogs
        self._deadlines = Deadlines(state, clock.monotonic_ms(), no_progress_ms or None)
        self._sessions: dict[GroupName, dict[MemberId, MemberSession]] = {}
        self._joining: dict[tuple[GroupName, InstanceId], MemberId] = {}
        self._sleeps_until_ms = float("inf")
        self._timer_moved = asyncio.Event()
        self._to_refresh: dict[GroupName, None] = {}
        self._refresh_due = asyncio.Event()

    # What is applied.

    def follow(self, names: Iterable[GroupName], state: CoordinatorState) -> None:
        """These groups changed: start and stop timers, push assignments, end streams."""
        now_ms = self._clock.monotonic_ms()
        for name in names:
            group = state.groups.get(name)
            if not self._deadlines.follow(name, group, now_ms):
                continue  # A commit, say: it concerns no other member.
            for session in list(self._sessions.get(name, {}).values()):
                self._follow_member(session, group)
        next_ms = self._deadlines.next_ms()
        if next_ms is not None and next_ms < self._sleeps_until_ms:
            self._timer_moved.set()

    def _follow_member(self, session: MemberSession, group: Group | None) -> None:
        member = group.members.get(session.member_id) if group is not None else None
        if member is not None:
            session.follow(member)
            return
        session.end(gone(session.group, session.member_id))
        self.disconnected(session)

    # Streams.

    @contextmanager
    def joining(self, name: GroupName, info: MemberInfo) -> Iterator[bool]:
        """Around the decision of a Join: is the holder of the member's instance id connected, or
        about to be?"""
        if not info.instance_id:
            yield False
            return
        key = name, info.instance_id
        group = self._now_state().groups.get(name)
        holder = group.instances.get(info.instance_id) if group is not None else None
        rivals = {holder: self.is_connected(name, holder), self._joining.get(key): True}
        held = any(
            there and rival is not None and rival != info.member_id
            for rival, there in rivals.items()
        )
        self._joining.setdefault(key, info.member_id)
        try:
            yield held
        finally:
            if self._joining.get(key) == info.member_id:
                del self._joining[key]

    def connect(self, name: GroupName, member_id: MemberId) -> MemberSession:
        """A stream of a member that has joined. Raises GroupError(UNKNOWN_MEMBER)."""
        group = self._now_state().groups.get(name)
        member = group.members.get(member_id) if group is not None else None
        if member is None:
            raise gone(name, member_id)
        sessions = self._sessions.setdefault(name, {})
        before = sessions.get(member_id)
        if before is not None:
            before.end(
                StreamlogError(
                    Reason.STREAM_REPLACED,
                    f"member {member_id} of group {name} has opened another stream",
                )
            )
        session = sessions[member_id] = MemberSession(name, member_id)
        session.follow(member)
        self._deadlines.heard(name, member_id, self._clock.monotonic_ms())
        return session

    def disconnected(self, session: MemberSession) -> None:
        """The stream is gone; the member's session runs from when it was last heard of."""
        sessions = self._sessions.get(session.group)
        if sessions is None or sessions.get(session.member_id) is not session:
            return
        del sessions[session.member_id]
        if not sessions:
            del self._sessions[session.group]

    def heard(self, session: MemberSession, handled_count: int | None = None) -> None:
        """The member gave a sign of life, and maybe said how much it handled."""
        now_ms = self._clock.monotonic_ms()
        self._deadlines.heard(session.group, session.member_id, now_ms)
        if handled_count is not None and handled_count > session.handled_count:
            session.handled_count = handled_count
            self._deadlines.progressed(session.group, session.member_id, now_ms)

    def is_connected(self, name: GroupName, member_id: MemberId | None) -> bool:
        """The member has a stream here."""
        return member_id is not None and member_id in self._sessions.get(name, {})

    def end(self, reason: Exception) -> None:
        """End every stream: this node leads no more."""
        for sessions in self._sessions.values():
            for session in sessions.values():
                session.end(reason)
        self._sessions.clear()

    # What operators ask.

    def vitals(self, name: GroupName, member_id: MemberId) -> tuple[float, float] | None:
        """See Deadlines.vitals."""
        return self._deadlines.vitals(name, member_id, self._clock.monotonic_ms())

    def findings(self, group: Group, bounds: AlarmBounds) -> tuple[Finding, ...]:
        """What somebody should look at in the group."""
        return findings_of(group, self._deadlines, self._clock.monotonic_ms(), bounds)

    def stalled(self, bound_ms: float) -> list[tuple[GroupName, MemberId, float]]:
        """See Deadlines.stalled."""
        return self._deadlines.stalled(self._clock.monotonic_ms(), bound_ms)

    def unowned(self, bound_ms: float) -> list[tuple[GroupName, TopicPartition, float]]:
        """See Deadlines.unowned."""
        return self._deadlines.unowned(self._clock.monotonic_ms(), bound_ms)

    # Timers.

    async def watch_deadlines(self) -> None:
        """Expire members whose timers run out, until cancelled."""
        while True:
            due = self._deadlines.due(self._clock.monotonic_ms(), self._clock.wall_ms())
            await gather_bounded([partial(self._expire, command) for command in due], CONCURRENT)
            next_ms = self._deadlines.next_ms()
            self._timer_moved.clear()
            self._sleeps_until_ms = float("inf") if next_ms is None else next_ms
            try:
                now_ms = self._clock.monotonic_ms()
                # A timer that fires a little early must not make this spin.
                wait_s = None if next_ms is None else max(next_ms - now_ms, 1.0) / 1_000
                async with asyncio.timeout(wait_s):
                    await self._timer_moved.wait()
            except TimeoutError:
                pass

    async def _expire(self, command: ExpireMember) -> None:
        try:
            response = await self._execute(command)
        except (GroupError, ReplicationError, StreamlogError):
            return  # It is named again while it is there and this node leads.
        if isinstance(response, Expired) and response.expired:
            _log.info(
                "group_member_expired",
                extra={
                    "group": command.group,
                    "member_id": command.member_id,
                    "cause": command.cause.value,
                },
            )

    # Topics.

    def refresh_soon(self, name: GroupName) -> None:
        """Look at the topics of this group: they may have changed while it was decided on."""
        self._to_refresh[name] = None
        self._refresh_due.set()

    def topics_changed(self) -> None:
        """Look at the groups that the newest change of topics concerns."""
        self._refresh_due.set()

    async def watch_topics(self) -> None:
        """Tell groups of topics that changed, until cancelled; first, all of them."""
        before: TopicCatalog | None = None
        while True:
            self._refresh_due.clear()
            catalog = self._catalogs.current()
            names, self._to_refresh = self._to_refresh, {}
            if before is None or not same_topics(catalog, before):
                concerned = groups_to_refresh(self._now_state(), catalog, before)
                names.update(dict.fromkeys(concerned))
            before = catalog
            await gather_bounded([partial(self._refresh, name) for name in names], CONCURRENT)
            try:
                async with asyncio.timeout(REFRESH_RETRY_MS / 1_000 if self._to_refresh else None):
                    await self._refresh_due.wait()
            except TimeoutError:
                pass

    async def _refresh(self, name: GroupName) -> None:
        command = TopicsChanged(name, self._catalogs.current(), self._clock.wall_ms())
        try:
            await self._execute(command)
        except GroupError as error:
            if error.reason is GroupReason.STALE_CATALOG:
                self._to_refresh[name] = None
            elif error.reason is not GroupReason.UNKNOWN_GROUP:
                _log.warning("group_topics_refused", extra={"group": name, "reason": str(error)})
        except (ReplicationError, StreamlogError):
            self._to_refresh[name] = None


def gone(name: GroupName, member_id: MemberId) -> GroupError:
    """Why the stream of a member that is none any more ends."""
    return GroupError(
        GroupReason.UNKNOWN_MEMBER,
        f"{member_id} is no member of group {name}: it left, was expired or was replaced",
    )
