"""The agreement between two nodes about which groups a heartbeat speaks for."""

from __future__ import annotations

from replication.multiraft.heartbeat_sets import FollowedSet, LedSet, hash_of, mix
from replication.transport.messages import HeartbeatAnswer, LedGroup
from replication.types import GroupId, ReplicaId, Term

BOOT = 77
LEADER = ReplicaId(1)


def _led(group_id: int, term: int = 1) -> LedGroup:
    return LedGroup(GroupId(group_id), Term(term), LEADER)


def _agree(led: LedSet, followed: FollowedSet) -> None:
    """One exchange in which the receiver follows everything."""
    heartbeat = led.heartbeat(BOOT)
    if not followed.matches(heartbeat):
        followed.agree(heartbeat, heartbeat.groups or ())
    for group in list(followed.refused.values()):
        followed.follow(group)
    assert led.answered(followed.answer(1, ())) == []


def test_the_whole_set_goes_out_only_until_it_is_agreed() -> None:
    """After a change it is sent; once agreed only version and hash are; a change starts over."""
    led, followed = LedSet(), FollowedSet()
    led.add(GroupId(1), Term(1), LEADER)
    led.add(GroupId(2), Term(1), LEADER)
    assert led.heartbeat(BOOT).groups == (_led(1), _led(2))
    _agree(led, followed)
    assert led.heartbeat(BOOT).groups is None
    assert followed.matches(led.heartbeat(BOOT))
    assert list(followed.followed) == [1, 2]
    led.remove(GroupId(1))
    assert led.heartbeat(BOOT).groups == (_led(2),)
    assert not followed.matches(led.heartbeat(BOOT))
    _agree(led, followed)
    assert list(followed.followed) == [2]


def test_the_hash_is_of_the_set_and_not_of_its_history() -> None:
    """Adding and removing in any order leaves the hash of what remains; terms count."""
    led = LedSet()
    for group_id in (5, 6, 7):
        led.add(GroupId(group_id), Term(group_id), LEADER)
    led.add(GroupId(5), Term(9), LEADER)
    led.remove(GroupId(6))
    led.remove(GroupId(6))
    assert led.heartbeat(BOOT).set_hash == hash_of([_led(7, 7), _led(5, 9)])
    assert mix(GroupId(1), Term(2)) != mix(GroupId(2), Term(1))


def test_a_new_process_of_the_leader_does_not_match() -> None:
    """Version and hash may be the same by chance or habit; the boot id is not."""
    led, followed = LedSet(), FollowedSet()
    led.add(GroupId(1), Term(1), LEADER)
    _agree(led, followed)
    assert not followed.matches(led.heartbeat(BOOT + 1))
    assert followed.forget() == [1]
    assert not followed.matches(led.heartbeat(BOOT))


def test_a_group_in_another_term_is_dropped_and_asked_for_anew() -> None:
    """The receiver followed term 1; the set names term 2: that is not yet followed."""
    led, followed = LedSet(), FollowedSet()
    led.add(GroupId(1), Term(1), LEADER)
    _agree(led, followed)
    led.add(GroupId(1), Term(2), LEADER)
    heartbeat = led.heartbeat(BOOT)
    assert followed.agree(heartbeat, heartbeat.groups or ()) == [1]
    assert followed.followed == {}
    assert list(followed.refused) == [1]


def test_refusals_are_told_once_each_way() -> None:
    """A new refusal is news, the same again is not, its end is; old versions are not heard."""
    led = LedSet()
    led.add(GroupId(1), Term(1), LEADER)
    led.add(GroupId(2), Term(1), LEADER)
    refusing = HeartbeatAnswer(1, 2, (LedGroup(GroupId(2), Term(5)), LedGroup(GroupId(9), Term(5))))
    assert led.answered(HeartbeatAnswer(1, 1, refusing.refused)) == []
    assert led.answered(refusing) == [2]
    assert led.refused == {2: 5}
    assert led.answered(refusing) == []
    assert led.answered(HeartbeatAnswer(1, 2)) == [2]
    assert led.answered(HeartbeatAnswer(1, 0)) == []
    assert led.heartbeat(BOOT).groups is not None


def test_a_group_that_is_not_followed_any_more_is_refused() -> None:
    """The receiver voted for another: the set stands, the group moves to the refusals."""
    led, followed = LedSet(), FollowedSet()
    led.add(GroupId(1), Term(1), LEADER)
    _agree(led, followed)
    followed.unfollow(GroupId(1))
    followed.unfollow(GroupId(1))
    assert followed.matches(led.heartbeat(BOOT))
    assert list(followed.refused) == [1]
    assert followed.followed == {}
