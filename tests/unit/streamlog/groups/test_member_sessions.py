"""What waits to be sent to one member is bounded, and the newest assignment is the one sent."""

from __future__ import annotations

from dataclasses import replace

from consumer_groups.coordinator.state import Member
from consumer_groups.types import (
    Epoch,
    GroupName,
    MemberId,
    MemberInfo,
    PartitionNumber,
    Subscription,
    TopicId,
    TopicPartition,
)
from replication.errors import NotLeader, Overloaded
from replication.types import GroupId, Term
from streamlog.groups.sessions import REPLIES_MAX, MemberSession

INFO = MemberInfo(MemberId("m1"), Subscription.to("orders"))
MEMBER = Member(INFO, Epoch(1), 0, Epoch(1))
PARTITION = TopicPartition(TopicId(1), PartitionNumber(0))


def session() -> MemberSession:
    return MemberSession(GroupName("g"), MemberId("m1"))


def test_a_member_is_told_what_concerns_it() -> None:
    """The first state, another epoch, other partitions or revocations; not what it shall own some
    day, nor what it says of itself. Several changes are one assignment."""
    made = session()
    made.follow(MEMBER)
    assert made.take_assignment_due()
    assert not made.take_assignment_due()
    made.follow(replace(MEMBER, target=(PARTITION,), info=replace(INFO, client_id="x")))
    assert not made.take_assignment_due()
    owns = replace(MEMBER, owned={PARTITION: Epoch(2)})
    for member in (owns, replace(owns, epoch=Epoch(2)), replace(MEMBER, revoking=owns.owned)):
        made.follow(member)
        assert made.take_assignment_due()
    made.follow(owns)
    made.follow(MEMBER)
    assert made.take_assignment_due()
    assert not made.take_assignment_due()


async def test_a_member_that_does_not_read_is_cut_off() -> None:
    """At the bound the session ends, and what it ended with stays; answers that wait are sent
    first, an assignment is not."""
    made = session()
    for number in range(REPLIES_MAX):
        made.reply(b"%d" % number)
    assert not made.ended
    made.reply(b"one too many")
    await made.something_to_send()
    assert made.ended
    assert isinstance(made.reason, Overloaded)
    made.end(NotLeader(GroupId(1), Term(1), None))
    assert isinstance(made.reason, Overloaded)
    made.tell_assignment()
    assert not made.take_assignment_due()
    assert not made.over
    assert made.take_replies() == [b"%d" % number for number in range(REPLIES_MAX)]
    assert made.over
