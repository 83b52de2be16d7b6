"""Brings a group that this node leads to the members it shall have, one safe step at a time.

1. Replicas that are missing come in as learners, which costs the group nothing.
2. When those who shall vote have what the log had a second ago (`RecentEnds`), the voters change, by
   joint consensus. A count of offsets would not do: a blank replica of a short log of large records
   would vote at once, the group would wait for it, and it would be copied to as fast as it goes.
3. A leader that shall not vote hands over first, so that nobody waits for an election: to a voter
   that stays, or, when none does, to a new one, after a change that keeps both.

Each step is chosen from what the group is and what it shall be, so whoever leads can go on from
wherever another stopped. The steps carry the version of the wish (`Membership.version`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from replication.errors import ReplicationError
from replication.group import ReplicatedGroup
from replication.raft.effects import Role
from replication.types import Membership, NodeId, Offset, Replica, ReplicaId

LAG_MAX: Final = 20_000
"""Offsets that a replica may lack to be voter or leader; a few batches in flight are less."""
STEP_TIMEOUT_MS: Final = 10_000
ROUNDS_REMEMBERED: Final = 5
"""Of some 200 ms each: a replica that is no further behind than this follows as fast as the log
grows, and what it lacks is a few batches in flight, and slow disks."""


class RecentEnds:
    """Where a leader's log ended in its last rounds.

    Invariant: at most ROUNDS_REMEMBERED ends.
    """

    def __init__(self) -> None:
        self._ends: deque[Offset] = deque(maxlen=ROUNDS_REMEMBERED)

    def note(self, end: Offset) -> Offset:
        """Another round; returns what a new replica must have to vote: the oldest end known."""
        self._ends.append(end)
        return self._ends[0]


@dataclass(frozen=True, slots=True)
class Change:
    """Change the members to these."""

    to: Membership


@dataclass(frozen=True, slots=True)
class HandOver:
    """Let one of these lead."""

    to: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """For replicas to catch up, or a change to end."""


@dataclass(frozen=True, slots=True)
class Done:
    """The members are as they shall be."""


Step = Change | HandOver | Wait | Done


def next_step(
    present: Membership, target: Membership, own: ReplicaId, ready: Callable[[Replica], bool]
) -> Step:
    """What comes next.

    Args:
        present: in force.
        target: wanted; not joint.
        own: this node's replica, which leads.
        ready: whether a replica lives and has nearly everything.
    """
    if present.joint:
        return Wait()
    if present == target:
        return Done()
    wanted = (*target.voters, *target.learners)
    missing = [replica for replica in wanted if present.find(replica.replica_id) is None]
    if missing:
        stay = [learner for learner in present.learners if learner in wanted]
        learners = tuple(sorted((*stay, *missing)))
        return Change(Membership(present.voters, (), learners, target.version))
    newcomers = [voter for voter in target.voters if not present.is_voter(voter.replica_id)]
    if not all(ready(newcomer) for newcomer in newcomers):
        return Wait()
    if any(voter.replica_id == own for voter in target.voters):
        return Change(target)
    heirs = tuple(voter for voter in target.voters if present.is_voter(voter.replica_id))
    if any(ready(heir) for heir in heirs):
        return HandOver(tuple(heir for heir in heirs if ready(heir)))
    if not newcomers:
        return Wait()
    leader = present.find(own)
    assert leader is not None
    others = tuple(learner for learner in target.learners if learner != leader)
    voters = tuple(sorted((*target.voters, leader)))
    return Change(Membership(voters, (), others, target.version))


async def take_step(
    group: ReplicatedGroup,
    target: Membership,
    live: Collection[NodeId],
    ends: RecentEnds,
    *,
    may_begin: bool = True,
) -> bool:
    """Take the next step towards `target`; True when it is reached and committed.

    `ends`: the same in each round of a leader. `may_begin`: replicas may be added, which makes them
    copy the log.
    Raises ReplicationError when the step was not taken: try again.
    """
    if group.role is not Role.LEADER or not group.established:
        return False
    progress, end = group.replica_progress(), group.log.end.end
    enough = ends.note(end)

    def ready(replica: Replica) -> bool:
        match = progress.get(replica.replica_id, Offset(0))
        may_vote = match >= enough or group.membership.is_voter(replica.replica_id)
        return replica.node_id in live and end - match <= LAG_MAX and may_vote

    step = next_step(group.membership, target, group.creation.local_replica_id, ready)
    try:
        async with asyncio.timeout(STEP_TIMEOUT_MS / 1_000):
            match step:
                case Done():
                    await group.change_membership(target)  # returns when it is committed
                    return True
                case Change(to):
                    find = group.membership.find
                    begins = any(find(each.replica_id) is None for each in to.replicas())
                    if may_begin or not begins:
                        await group.change_membership(to)
                case HandOver(to):
                    await _hand_over(group, to, progress)
                case Wait():
                    pass
    except TimeoutError:
        pass
    return False


async def _hand_over(
    group: ReplicatedGroup, heirs: Collection[Replica], progress: Mapping[ReplicaId, Offset]
) -> None:
    """To the one that has most; when it does not take over, to the next."""
    failure: ReplicationError | None = None
    best_first = sorted(heirs, key=lambda heir: progress.get(heir.replica_id, 0), reverse=True)
    for heir in best_first:
        try:
            await group.transfer_leadership(heir.node_id)
        except ReplicationError as error:
            failure = error
        else:
            return
    if failure is not None:
        raise failure
