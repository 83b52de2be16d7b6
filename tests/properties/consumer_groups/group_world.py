"""Members, operators and topics around a coordinator, with a dumb model of what may be.

The model never looks at the coordinator's state to know what is right. It keeps a ledger of its
own from what went over the wire: who was told to own what since which epoch, who has acknowledged
what, who is a member, which commits were acknowledged. From this it says what must be refused, and
which hand-over is a crime.

Actions take small integers and choose with them, so that Hypothesis and a plain random walk drive
the same world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeVar

import pytest

from consumer_groups.commands import (
    AcknowledgeRevocation,
    Command,
    CommitOffsets,
    DeleteGroup,
    DeleteOffsets,
    ExpireMember,
    ExpireOffsets,
    ExpiryCause,
    Join,
    Leave,
    OffsetToCommit,
    ResetOffsets,
    StoreOffsets,
    TopicsChanged,
)
from consumer_groups.coordinator import queries
from consumer_groups.errors import GroupError, Reason
from consumer_groups.responses import (
    Acknowledged,
    Changed,
    Expired,
    Joined,
    MemberAssignment,
    OffsetsRemoved,
    OffsetsStored,
    Response,
)
from consumer_groups.types import (
    NO_EPOCH,
    Epoch,
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    Position,
    Subscription,
    TopicCatalog,
    TopicId,
    TopicPartition,
    TopicView,
)
from tests.properties.consumer_groups.group_log import GroupLog

T = TypeVar("T")

GROUPS: Final = (GroupName("readers"), GroupName("others"))
TOPIC_NAMES: Final = ("orders", "orders-eu", "clicks")
SUBSCRIPTIONS: Final = (
    Subscription.to("orders"),
    Subscription.to("orders", "clicks"),
    Subscription.to(pattern="orders.*"),
    Subscription.to("clicks", pattern="orders-(eu|us)"),
)
ASSIGNORS: Final = ("", "", "sticky", "range")
MEMBERS_MAX: Final = 5
PARTITIONS_MAX: Final = 6
ZOMBIES_MAX: Final = 6
RETENTION_MS: Final = 1_000
SETTLING_ROUNDS_MAX: Final = 6


@dataclass(slots=True)
class Client:
    """A member as it sees itself; it may be a zombie and not know."""

    group: GroupName
    info: MemberInfo
    epoch: Epoch = NO_EPOCH
    held: dict[TopicPartition, Epoch] = field(default_factory=dict)
    revoking: tuple[TopicPartition, ...] = ()
    inbox: list[MemberAssignment] = field(default_factory=list)

    @property
    def member_id(self) -> MemberId:
        return self.info.member_id

    def take(self, assignment: MemberAssignment) -> None:
        """What it is told, it believes."""
        self.epoch = assignment.member_epoch
        self.held = {grant.partition: grant.epoch for grant in assignment.assigned}
        for partition in assignment.revoking:
            self.held.setdefault(partition, NO_EPOCH)
        self.revoking = assignment.revoking


@dataclass(slots=True)
class Interval:
    """Somebody owned a partition in the epochs [first, last]."""

    member_id: MemberId
    first: Epoch
    last: Epoch


@dataclass(slots=True)
class Ledger:
    """What the model knows of one group."""

    clients: dict[MemberId, Client] = field(default_factory=dict)
    """Its members."""
    zombies: list[Client] = field(default_factory=list)
    told: dict[MemberId, MemberAssignment] = field(default_factory=dict)
    """The newest assignment that was sent to each member."""
    owners: dict[TopicPartition, Interval] = field(default_factory=dict)
    """Who may read or commit a partition now."""
    past: dict[TopicPartition, list[Interval]] = field(default_factory=dict)
    commits: dict[TopicPartition, tuple[int, str, int]] = field(default_factory=dict)
    """Offset, metadata, time."""
    empty_since_ms: int = 0


class World:
    """One coordinator and all who deal with it."""

    def __init__(self) -> None:
        self.log = GroupLog()
        self.sound = True
        """All that was done so far was checked, and found good."""
        self.ledgers: dict[GroupName, Ledger] = {}
        self.gone: dict[GroupName, dict[TopicPartition, list[Interval]]] = {}
        """Intervals of groups that were deleted."""
        self.now_ms = 1_000
        self._serial = 0
        self._topic_ids = 0
        self._topics: dict[str, TopicView] = {}
        self._version = 0
        self.catalog = TopicCatalog.of(0, ())
        self.told_catalog = self.catalog
        for name in TOPIC_NAMES[:2]:
            self._set_topic(name, 4)
        self.told_catalog = self.catalog

    # Members.

    def join(self, group: int, subscription: int, assignor: int, instance: int) -> None:
        """A new process; a static one when `instance` is 1 to 3."""
        name = GROUPS[group % len(GROUPS)]
        ledger = self.ledgers.get(name)
        instance_id = InstanceId(f"i{instance}" if 1 <= instance <= 3 else "")
        holder = self._holder(ledger, instance_id)
        if holder is None and ledger is not None and len(ledger.clients) >= MEMBERS_MAX:
            return
        info = MemberInfo(
            MemberId(f"m{self._next()}"),
            one_of(SUBSCRIPTIONS, subscription),
            instance_id,
            assignor=one_of(ASSIGNORS, assignor),
        )
        command = Join(name, info, self.catalog, self._tick())
        if any(topic not in self._topics for topic in info.subscription.topics):
            self._refused(command, Reason.UNKNOWN_TOPIC)
            return
        response = self._do(command)
        assert isinstance(response, Joined)
        assert not response.resumed
        ledger = self.ledgers.setdefault(name, Ledger())
        assert response.replaced == (holder.member_id if holder is not None else "")
        if holder is not None:
            self._bury(ledger, holder)
        client = ledger.clients[info.member_id] = Client(name, info)
        self._heard(client, response.assignment, response.changed)

    def join_beside(self, which: int) -> None:
        """A second process with the instance id of one that is connected."""
        client = self._client(which)
        if client is None or not client.info.instance_id:
            return
        info = MemberInfo(
            MemberId(f"m{self._next()}"), client.info.subscription, client.info.instance_id
        )
        command = Join(client.group, info, self.catalog, self._tick(), holder_connected=True)
        self._refused(command, Reason.INSTANCE_ID_IN_USE, Reason.UNKNOWN_TOPIC)

    def reconnect(self, which: int, subscription: int) -> None:
        """A broken stream: what was on its way is lost; maybe it wants something else now."""
        client = self._client(which)
        if client is None:
            return
        client.inbox.clear()
        wanted = client.info.subscription
        if subscription < len(SUBSCRIPTIONS):
            wanted = SUBSCRIPTIONS[subscription]
        before = client.info.subscription
        info = MemberInfo(
            client.member_id, wanted, client.info.instance_id, assignor=client.info.assignor
        )
        command = Join(client.group, info, self.catalog, self._tick(), client.epoch)
        if any(t not in self._topics and t not in before.topics for t in wanted.topics):
            self._refused(command, Reason.UNKNOWN_TOPIC)
            return
        response = self._do(command)
        assert isinstance(response, Joined)
        assert response.resumed
        client.info = info
        self._heard(client, response.assignment, response.changed)

    def deliver(self, which: int) -> None:
        """The oldest push arrives."""
        client = self._client(which)
        if client is not None and client.inbox:
            client.take(client.inbox.pop(0))

    def lose(self, which: int) -> None:
        """What was pushed to a member is lost."""
        client = self._client(which)
        if client is not None:
            client.inbox.clear()

    def heartbeat(self, which: int) -> None:
        """A member that has missed something hears of it with its next heartbeat."""
        client = self._client(which)
        if client is not None and not client.inbox:
            self._heartbeat(client)

    def _heartbeat(self, client: Client) -> None:
        state, name = self.log.state, client.group
        count = len(client.held) - len(client.revoking)
        answer = queries.heartbeat(state, name, client.member_id, client.epoch, count)
        told = self.ledgers[name].told[client.member_id]
        assert answer.member_epoch == told.member_epoch
        if answer.current:
            seen = sorted(client.held.items())
            assert seen == [(g.partition, g.epoch) for g in told.assigned], "missed unnoticed"
        else:
            client.take(queries.assignment(state, name, client.member_id))

    def acknowledge(self, which: int, count: int) -> None:
        """It gives up the first `count` of what it was asked for."""
        client = self._client(which)
        if client is None or not client.revoking:
            return
        ledger = self.ledgers[client.group]
        revoked = client.revoking[: 1 + count % len(client.revoking)]
        self._acknowledge(ledger, client, client.epoch, revoked)

    def acknowledge_again(self, which: int, epoch: int) -> None:
        """An old acknowledgement of everything turns up."""
        asked = [
            client
            for ledger in self.ledgers.values()
            for client in ledger.clients.values()
            if ledger.told[client.member_id].revoking
        ]
        client = pick(asked, which)
        if client is None:
            return
        ledger = self.ledgers[client.group]
        old = Epoch(epoch % ledger.told[client.member_id].member_epoch)
        everything = tuple(sorted(ledger.owners))
        if everything:
            self._acknowledge(ledger, client, old, everything)

    def _acknowledge(
        self,
        ledger: Ledger,
        client: Client,
        epoch: Epoch,
        revoked: tuple[TopicPartition, ...],
    ) -> None:
        command = AcknowledgeRevocation(client.group, client.member_id, epoch, revoked)
        told = ledger.told[client.member_id]
        response = self._do(command)
        assert isinstance(response, Acknowledged)
        if epoch == told.member_epoch:
            for partition in revoked:
                if partition in told.revoking:
                    self._end(ledger, partition)
                    client.held.pop(partition, None)
        self._heard(client, response.assignment, response.changed)

    def leave(self, which: int) -> None:
        """For good."""
        client = self._client(which)
        if client is None:
            return
        response = self._do(Leave(client.group, client.member_id, self._tick()))
        assert isinstance(response, Changed)
        self._bury(self.ledgers[client.group], client)
        self._push(client.group, response)

    def expire(self, which: int, cause: int, age: int) -> None:
        """A timer ran out, maybe an old one."""
        client = self._client(which)
        if client is None:
            return
        ledger = self.ledgers[client.group]
        told = ledger.told[client.member_id]
        epoch = Epoch(max(0, told.member_epoch - age))
        why = one_of(tuple(ExpiryCause), cause)
        command = ExpireMember(client.group, client.member_id, epoch, why, self._tick())
        response = self._do(command)
        assert isinstance(response, Expired)
        if why is ExpiryCause.REBALANCE:
            due = bool(told.revoking) and epoch == told.member_epoch
            assert response.expired == due
        elif age == 0:
            assert response.expired
        if response.expired:
            self._bury(ledger, client)
        self._push(client.group, response.changed)

    # Commits.

    def commit(self, which: int, offset: int, age: int) -> None:
        """A member commits all it believes to own, maybe with an epoch from before."""
        client = self._client(which)
        if client is not None and client.held:
            epoch = Epoch(max(0, client.epoch - age))
            self._commit(client, tuple(sorted(client.held)), epoch, offset)

    def commit_what_is_not_owned(self, which: int, partition: int) -> None:
        """A member commits a partition of its group, owned or not."""
        client = self._client(which)
        if client is None:
            return
        target = pick(sorted(self._partitions()), partition)
        if target is not None:
            self._commit(client, (target,), client.epoch, 1)

    def commit_of_zombie(self, group: int, which: int, epoch: int) -> None:
        """A process that was expired wakes up."""
        ledger = self.ledgers.get(GROUPS[group % len(GROUPS)])
        zombie = pick(ledger.zombies, which) if ledger is not None else None
        if zombie is None:
            return
        partitions = tuple(sorted(zombie.held)) or tuple(sorted(self._partitions()))
        if partitions:
            self._commit(zombie, partitions, Epoch(zombie.epoch + epoch % 3), 7)

    def _commit(
        self, client: Client, partitions: tuple[TopicPartition, ...], epoch: Epoch, offset: int
    ) -> None:
        ledger = self.ledgers[client.group]
        metadata = f"by {client.member_id}" if offset % 2 else ""
        command = CommitOffsets(
            client.group,
            client.member_id,
            epoch,
            tuple(OffsetToCommit(p, Position(offset), 1, metadata) for p in partitions),
            self._tick(),
        )
        if client.member_id not in ledger.clients:
            self._refused(command, Reason.UNKNOWN_MEMBER)
            return
        allowed = epoch <= ledger.told[client.member_id].member_epoch and all(
            (owner := ledger.owners.get(p)) is not None
            and owner.member_id == client.member_id
            and owner.first <= epoch
            for p in partitions
        )
        if not allowed:
            self._refused(command, Reason.STALE_MEMBER_EPOCH, Reason.UNKNOWN_TOPIC)
            return
        assert isinstance(self._do(command), OffsetsStored)
        for partition in partitions:
            ledger.commits[partition] = (offset, metadata, self.now_ms)

    # Operators.

    def reset(self, group: int, first: int, count: int, offset: int) -> None:
        """Positions are moved, under whoever reads."""
        name = GROUPS[group % len(GROUPS)]
        partitions = self._some_partitions(first, count)
        if not partitions:
            return
        offsets = tuple(OffsetToCommit(p, Position(offset)) for p in partitions)
        command = ResetOffsets(name, offsets, self.catalog, self._tick())
        ledger = self.ledgers.get(name)
        if ledger is None:
            self._refused(command, Reason.UNKNOWN_GROUP)
            return
        response = self._do(command)
        assert isinstance(response, Changed)
        if ledger.clients:
            self._model_catalog(ledger)
        for partition in partitions:
            self._end(ledger, partition)
            ledger.commits[partition] = (offset, "", self.now_ms)
        self._push(name, response)

    def store(self, group: int, first: int, count: int, offset: int) -> None:
        """Somebody without membership commits."""
        name = GROUPS[group % len(GROUPS)]
        partitions = self._some_partitions(first, count)
        if not partitions:
            return
        offsets = tuple(OffsetToCommit(p, Position(offset)) for p in partitions)
        command = StoreOffsets(name, offsets, self.catalog, self._tick())
        ledger = self.ledgers.get(name)
        if ledger is not None and ledger.clients:
            self._refused(command, Reason.GROUP_NOT_EMPTY)
            return
        assert isinstance(self._do(command), OffsetsStored)
        if ledger is None:
            ledger = self.ledgers[name] = Ledger(empty_since_ms=self.now_ms)
        for partition in partitions:
            ledger.commits[partition] = (offset, "", self.now_ms)

    def delete_offsets(self, group: int, first: int, count: int) -> None:
        """Positions go, where nobody reads."""
        name = GROUPS[group % len(GROUPS)]
        ledger, partitions = self.ledgers.get(name), self._some_partitions(first, count)
        if ledger is None or not partitions:
            return
        command = DeleteOffsets(name, partitions)
        topics = self.log.state.groups[name].topics
        if any(p.topic_id in topics or p in ledger.owners for p in partitions):
            assert ledger.clients
            self._refused(command, Reason.GROUP_SUBSCRIBED)
            return
        response = self._do(command)
        assert isinstance(response, OffsetsRemoved)
        there = [p for p in partitions if ledger.commits.pop(p, None) is not None]
        assert response.count == len(there)

    def expire_offsets(self, group: int, wait_ms: int) -> None:
        """Time passes."""
        name = GROUPS[group % len(GROUPS)]
        ledger = self.ledgers.get(name)
        if ledger is None:
            return
        self.now_ms += wait_ms
        response = self._do(ExpireOffsets(name, RETENTION_MS, self.now_ms))
        assert isinstance(response, OffsetsRemoved)
        due_ms = self.now_ms - RETENTION_MS
        if ledger.clients or ledger.empty_since_ms > due_ms:
            assert response.count == 0
            return
        kept = {p: c for p, c in ledger.commits.items() if c[2] > due_ms}
        assert response.count == len(ledger.commits) - len(kept)
        assert response.group_deleted == (not kept)
        ledger.commits = kept
        if not kept:
            self._forget_group(name)

    def delete_group(self, group: int) -> None:
        """The whole group goes, when it has no members."""
        name = GROUPS[group % len(GROUPS)]
        ledger = self.ledgers.get(name)
        if ledger is None:
            self._refused(DeleteGroup(name), Reason.UNKNOWN_GROUP)
        elif ledger.clients:
            self._refused(DeleteGroup(name), Reason.GROUP_NOT_EMPTY)
        else:
            self._do(DeleteGroup(name))
            self._forget_group(name)

    # Topics.

    def change_topic(self, which: int, partitions: int) -> None:
        """A topic is created, grows, or (0 partitions) is deleted. Groups hear of it later."""
        name = one_of(TOPIC_NAMES, which)
        view = self._topics.get(name)
        if partitions == 0:
            if view is not None:
                del self._topics[name]
                self._new_catalog()
        elif view is None or view.partition_count < partitions:
            self._set_topic(name, min(partitions, PARTITIONS_MAX))

    def tell_groups_of_topics(self) -> None:
        """The coordinator's caller goes through the groups that may be concerned."""
        for name in queries.groups_to_refresh(self.log.state, self.catalog, self.told_catalog):
            response = self._do(TopicsChanged(name, self.catalog, self._tick()))
            assert isinstance(response, Changed)
            self._model_catalog(self.ledgers[name])
            self._push(name, response)
        self.told_catalog = self.catalog
        for ledger in self.ledgers.values():
            deleted = [p for p in ledger.commits if p.topic_id not in self.catalog.by_id]
            assert not deleted, "a group with positions of a deleted topic was left out"

    # The coordinator.

    def take_snapshot(self) -> None:
        """A restart begins here."""
        self.log.take_snapshot()

    def restart(self) -> None:
        """The coordinator moves: what was on its way to members is lost."""
        self.log.restart()
        for ledger in self.ledgers.values():
            for client in ledger.clients.values():
                client.inbox.clear()

    def settle(self) -> None:
        """Everybody does what it should: soon everything is owned, evenly, and nothing moves."""
        self.tell_groups_of_topics()
        for name, ledger in self.ledgers.items():
            for _ in range(SETTLING_ROUNDS_MAX):
                for client in list(ledger.clients.values()):
                    client.inbox.clear()
                    self._heartbeat(client)
                    if client.revoking:
                        self._acknowledge(ledger, client, client.epoch, client.revoking)
            self._check_settled(name, ledger)

    def _check_settled(self, name: GroupName, ledger: Ledger) -> None:
        expected = {
            partition
            for client in ledger.clients.values()
            for view in self._wanted(client.info.subscription)
            for partition in view.partitions()
        }
        assert set(ledger.owners) == expected, "not everything is owned"
        loads = []
        for client in ledger.clients.values():
            client.inbox.clear()
            self._heartbeat(client)
            assert not client.revoking
            wanted = {view.topic_id for view in self._wanted(client.info.subscription)}
            assert {p.topic_id for p in client.held} <= wanted, "owns what it did not ask for"
            loads.append(len(client.held))
        infos = [client.info for client in ledger.clients.values()]
        if len({i.subscription for i in infos}) == 1 and all(i.assignor != "range" for i in infos):
            assert max(loads) - min(loads) <= 1
        description = queries.describe(self.log.state, name)
        assert description.unowned == ()
        assert description.phase in {queries.GroupPhase.STABLE, queries.GroupPhase.EMPTY}

    # What must hold after each step.

    def check(self) -> None:
        """The coordinator agrees with the model."""
        self.log.check()
        state = self.log.state
        assert set(state.groups) == set(self.ledgers)
        for name, ledger in self.ledgers.items():
            group = state.groups[name]
            assert set(group.members) == set(ledger.clients)
            found = queries.committed(state, name)
            assert {
                p: (c.offset, c.metadata, c.committed_at_ms) for p, c in found.items()
            } == ledger.commits
            for member_id, told in ledger.told.items():
                now = queries.assignment(state, name, member_id)
                assert now.member_epoch == told.member_epoch, "an epoch moved unheard"
                assert [g[:2] for g in now.assigned] == [g[:2] for g in told.assigned]
                assert now.revoking == told.revoking
        self.sound = True

    # The model's own rules.

    def _heard(self, client: Client, assignment: MemberAssignment, changed: Changed) -> None:
        """The answer of a member's own request."""
        self._tell(self.ledgers[client.group], assignment)
        client.inbox.clear()
        client.take(assignment)
        assert all(push.member_id != client.member_id for push in changed.pushes)
        self._push(client.group, changed)

    def _push(self, name: GroupName, changed: Changed) -> None:
        ledger = self.ledgers[name]
        assert all(member_id not in ledger.clients for member_id in changed.removed)
        for assignment in changed.pushes:
            self._tell(ledger, assignment)
            ledger.clients[assignment.member_id].inbox.append(assignment)

    def _tell(self, ledger: Ledger, assignment: MemberAssignment) -> None:
        """Something is sent to a member: is the coordinator entitled to it?"""
        member_id, epoch = assignment.member_id, assignment.member_epoch
        before = ledger.told.get(member_id)
        assert before is None or before.member_epoch <= epoch, "an epoch went back"
        for grant in assignment.assigned:
            owner = ledger.owners.get(grant.partition)
            if owner is None:
                owner = ledger.owners[grant.partition] = Interval(member_id, grant.epoch, epoch)
                ledger.past.setdefault(grant.partition, []).append(owner)
            assert owner.member_id == member_id, "handed over while somebody owns it"
            assert owner.first == grant.epoch, "owned under another epoch than granted"
            owner.last = max(owner.last, epoch)
            commit = ledger.commits.get(grant.partition)
            told = grant.commit[0] if grant.commit is not None else None
            assert told == (commit[0] if commit is not None else None)
            self._check_disjoint(ledger, assignment.group, grant.partition)
        for partition in assignment.revoking:
            owner = ledger.owners.get(partition)
            assert owner is not None
            owner.last = max(owner.last, epoch)
            self._check_disjoint(ledger, assignment.group, partition)
        named = {grant.partition for grant in assignment.assigned} | set(assignment.revoking)
        owned = {p for p, owner in ledger.owners.items() if owner.member_id == member_id}
        assert named == owned, "taken away, or given to be revoked, without a word"
        ledger.told[member_id] = assignment

    def _check_disjoint(self, ledger: Ledger, name: GroupName, partition: TopicPartition) -> None:
        earlier = self.gone.get(name, {}).get(partition, [])
        intervals = sorted((*earlier, *ledger.past[partition]), key=lambda i: i.first)
        for one, other in pairwise(intervals):
            assert one.last < other.first, f"{partition} is owned twice in one epoch"

    def _end(self, ledger: Ledger, partition: TopicPartition) -> None:
        ledger.owners.pop(partition, None)

    def _bury(self, ledger: Ledger, client: Client) -> None:
        """It is no member any more, whether it knows or not."""
        for partition in [p for p, o in ledger.owners.items() if o.member_id == client.member_id]:
            self._end(ledger, partition)
        del ledger.clients[client.member_id]
        ledger.told.pop(client.member_id, None)
        ledger.zombies = [*ledger.zombies, client][-ZOMBIES_MAX:]
        if not ledger.clients:
            ledger.empty_since_ms = self.now_ms

    def _model_catalog(self, ledger: Ledger) -> None:
        """Topics that are gone are nobody's, and have no positions."""
        for partition in [p for p in ledger.owners if p.topic_id not in self.catalog.by_id]:
            self._end(ledger, partition)
        ledger.commits = {
            p: c for p, c in ledger.commits.items() if p.topic_id in self.catalog.by_id
        }

    def _forget_group(self, name: GroupName) -> None:
        ledger = self.ledgers.pop(name)
        past = self.gone.setdefault(name, {})
        for partition, intervals in ledger.past.items():
            past.setdefault(partition, []).extend(intervals)

    # Small things.

    def _do(self, command: Command) -> Response:
        self.sound = False
        return self.log.execute(command)

    def _refused(self, command: Command, *reasons: Reason) -> None:
        size = len(self.log.log)
        with pytest.raises(GroupError) as refusal:
            self._do(command)
        assert refusal.value.reason in reasons
        assert len(self.log.log) == size

    def _client(self, which: int) -> Client | None:
        clients = [c for ledger in self.ledgers.values() for c in ledger.clients.values()]
        return pick(clients, which)

    def _holder(self, ledger: Ledger | None, instance_id: InstanceId) -> Client | None:
        if ledger is None or not instance_id:
            return None
        holders = [c for c in ledger.clients.values() if c.info.instance_id == instance_id]
        return holders[0] if holders else None

    def _wanted(self, subscription: Subscription) -> list[TopicView]:
        """By hand, so that the pattern matcher is not asked."""
        matched = {
            "": (),
            "orders.*": ("orders", "orders-eu"),
            "orders-(eu|us)": ("orders-eu",),
        }[subscription.pattern]
        names = sorted({*subscription.topics, *matched})
        return [self._topics[name] for name in names if name in self._topics]

    def _partitions(self) -> list[TopicPartition]:
        return [p for view in self._topics.values() for p in view.partitions()]

    def _some_partitions(self, first: int, count: int) -> tuple[TopicPartition, ...]:
        partitions = sorted(self._partitions())
        if not partitions:
            return ()
        start = first % len(partitions)
        return tuple(partitions[start : start + 1 + count])

    def _set_topic(self, name: str, partitions: int) -> None:
        view = self._topics.get(name)
        if view is None:
            self._topic_ids += 1
        topic_id = view.topic_id if view is not None else TopicId(self._topic_ids)
        self._topics[name] = TopicView(topic_id, name, partitions)
        self._new_catalog()

    def _new_catalog(self) -> None:
        self._version += 1
        self.catalog = TopicCatalog.of(self._version, self._topics.values())

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _tick(self) -> int:
        self.now_ms += 1
        return self.now_ms


def pick(choices: Sequence[T], which: int) -> T | None:
    """One of them, or None when there is none."""
    return choices[which % len(choices)] if choices else None


def one_of(choices: Sequence[T], which: int) -> T:
    """One of them; there is at least one."""
    return choices[which % len(choices)]
