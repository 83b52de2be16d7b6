"""Every refusal: its reason, its text, and that nothing was changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from consumer_groups.commands import (
    DeleteGroup,
    DeleteOffsets,
    Join,
    Leave,
    StoreOffsets,
)
from consumer_groups.coordinator import draft, offsets, topics
from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import MEMBERS_PER_GROUP_MAX, METADATA_BYTES_MAX
from consumer_groups.types import (
    Epoch,
    GroupName,
    InstanceId,
    MemberId,
    MemberInfo,
    Subscription,
    TopicPartition,
)
from tests.unit.consumer_groups.group_bench import (
    NAME,
    A,
    B,
    C,
    GroupBench,
    catalog,
    clicks,
    orders,
    positions,
)


@dataclass(frozen=True, slots=True)
class Bad:
    """Something that must be refused in a group of A and B, both static, with A's commit."""

    name: str
    reason: Reason
    text: str
    act: Callable[[GroupBench], object]


def join_as(info: MemberInfo, group: str = NAME) -> Callable[[GroupBench], object]:
    return lambda bench: bench.log.execute(Join(GroupName(group), info, bench.catalog, 1))


def subscribing(*names: str, pattern: str = "", **fields: object) -> MemberInfo:
    return MemberInfo(C, Subscription.to(*names, pattern=pattern), **fields)  # type: ignore[arg-type]


def unordered() -> MemberInfo:
    return MemberInfo(C, Subscription(("orders", "clicks")))


def committing(
    *offsets_: tuple[TopicPartition, ...], offset: int = 1
) -> Callable[[GroupBench], object]:
    return lambda bench: bench.commit(A, positions(sum(offsets_, ()), offset))


BAD = [
    Bad("empty name", Reason.INVALID_GROUP_NAME, "1 to 249", join_as(subscribing("orders"), "")),
    Bad("long name", Reason.INVALID_GROUP_NAME, "(250 char", join_as(subscribing("orders"), "x" * 250)),
    Bad("slash", Reason.INVALID_GROUP_NAME, "'a/b'", join_as(subscribing("orders"), "a/b")),
    Bad("dots", Reason.INVALID_GROUP_NAME, "not '.'", join_as(subscribing("orders"), "..")),
    Bad(
        "store under a bad name",
        Reason.INVALID_GROUP_NAME,
        "'?'",
        lambda b: b.log.execute(StoreOffsets(GroupName("?"), positions(orders(0)), b.catalog, 1)),
    ),
    Bad(
        "member id",
        Reason.INVALID_REQUEST,
        "1 to 64",
        join_as(MemberInfo(MemberId("x" * 65), Subscription.to("orders"))),
    ),
    Bad(
        "instance id",
        Reason.INVALID_REQUEST,
        "instance id 'a b'",
        join_as(subscribing("orders", instance_id=InstanceId("a b"))),
    ),
    Bad(
        "client id",
        Reason.INVALID_REQUEST,
        "client id",
        join_as(subscribing("orders", client_id="\x07")),
    ),
    Bad(
        "session timeout",
        Reason.INVALID_REQUEST,
        "session_timeout_ms 999 is out of range: 1000 to 1800000",
        join_as(subscribing("orders", session_timeout_ms=999)),
    ),
    Bad(
        "rebalance timeout",
        Reason.INVALID_REQUEST,
        "rebalance_timeout_ms 3600001 is out of range",
        join_as(subscribing("orders", rebalance_timeout_ms=3_600_001)),
    ),
    Bad("no topic", Reason.INVALID_REQUEST, "neither", join_as(subscribing())),
    Bad("unordered topics", Reason.INVALID_REQUEST, "not in order", join_as(unordered())),
    Bad(
        "instance id that changes",
        Reason.INVALID_REQUEST,
        "can not change it to 'other'",
        lambda b: b.join(A, instance="other"),
    ),
    Bad("no partition", Reason.INVALID_REQUEST, "no partition", committing(())),
    Bad("twice", Reason.INVALID_REQUEST, "named twice", committing(orders(0), orders(0))),
    Bad("negative offset", Reason.OFFSET_OUT_OF_RANGE, "offset -1 ", committing(orders(0), offset=-1)),
    Bad("offset", Reason.OFFSET_OUT_OF_RANGE, "9223372036854775808", committing(orders(0), offset=2**63)),
    Bad(
        "metadata",
        Reason.METADATA_TOO_LARGE,
        "4098 bytes: 0 to 4096",
        lambda b: b.commit(A, positions(orders(0), 1, "ü" * 2_049)),
    ),
    Bad(
        "metadata of all",
        Reason.METADATA_TOO_LARGE,
        "266240 bytes: 0 to 262144",
        lambda b: b.commit(A, positions(orders(*range(65)), 1, "x" * METADATA_BYTES_MAX)),
    ),
    Bad(
        "too many partitions",
        Reason.TOO_MANY_PARTITIONS,
        "20001 partitions",
        committing(orders(*range(20_001))),
    ),
    Bad("assignor", Reason.UNKNOWN_ASSIGNOR, "none of sticky, range", lambda b: b.join(C, assignor="x")),
    Bad("pattern", Reason.INVALID_PATTERN, "at character 2", lambda b: b.join(C, pattern="a(")),
    Bad("topic", Reason.UNKNOWN_TOPIC, "'nowhere' does not exist", lambda b: b.join(C, "nowhere")),
    Bad("topic of a commit", Reason.UNKNOWN_TOPIC, "does not read", committing(clicks(0))),
    Bad(
        "topic of a reset",
        Reason.UNKNOWN_TOPIC,
        "topic 77 does not exist",
        lambda b: b.reset(positions((TopicPartition(77, 0),))),  # type: ignore[arg-type]
    ),
    Bad(
        "partition of a reset",
        Reason.UNKNOWN_PARTITION,
        "partition 4 of topic orders is out of range: 0 to 3",
        lambda b: b.reset(positions(orders(4))),
    ),
    Bad(
        "many topics",
        Reason.TOO_MANY_TOPICS,
        "1001 topics",
        join_as(subscribing(*(f"t{n}" for n in range(1_001)))),
    ),
    Bad("connected twin", Reason.INSTANCE_ID_IN_USE, "is held by member a, which is connected", lambda b: b.join(C, instance="one", holder_connected=True)),
    Bad("unknown member commits", Reason.UNKNOWN_MEMBER, "'c' is no member", lambda b: b.commit(C, positions(orders(0)), Epoch(1))),
    Bad("unknown member leaves", Reason.UNKNOWN_MEMBER, "join anew", lambda b: b.leave(C)),
    Bad("unknown member acknowledges", Reason.UNKNOWN_MEMBER, "must join anew", lambda b: b.acknowledge(C, epoch=Epoch(1))),
    Bad("unknown member returns", Reason.UNKNOWN_MEMBER, "it left, was expired", lambda b: b.join(C, epoch=Epoch(1))),
    Bad(
        "member of an unknown group",
        Reason.UNKNOWN_MEMBER,
        "'nobody'",
        lambda b: b.log.execute(Leave(GroupName("nobody"), A, 1)),
    ),
    Bad("epoch of a commit", Reason.STALE_MEMBER_EPOCH, "epoch 99", lambda b: b.commit(A, positions(orders(0)), Epoch(99))),
    Bad("epoch of a join", Reason.STALE_MEMBER_EPOCH, "its epoch is", lambda b: b.join(A, instance="one", epoch=Epoch(99))),
    Bad("epoch of an acknowledgement", Reason.STALE_MEMBER_EPOCH, "epoch 99", lambda b: b.acknowledge(A, epoch=Epoch(99))),
    Bad("not owned", Reason.STALE_MEMBER_EPOCH, "partition 3 of topic 1", committing(orders(3))),
    Bad("live group is deleted", Reason.GROUP_NOT_EMPTY, "2 members", lambda b: b.log.execute(DeleteGroup(NAME))),
    Bad("store in a live group", Reason.GROUP_NOT_EMPTY, "0 are allowed", lambda b: b.store(positions(orders(0)))),
    Bad("delete positions in use", Reason.GROUP_SUBSCRIBED, "partition 0 of topic 1", lambda b: b.log.execute(DeleteOffsets(NAME, orders(0)))),
    Bad("unknown group", Reason.UNKNOWN_GROUP, "'nobody'", lambda b: b.log.execute(DeleteGroup(GroupName("nobody")))),
    Bad("old metadata", Reason.STALE_CATALOG, "version 0", lambda b: b.topics(catalog(0))),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_input_is_refused_with_value_and_range(bad: Bad) -> None:
    """The reason is right, the message helps, no record is written."""
    bench = GroupBench()
    bench.join(A, instance="one")
    bench.join(B, instance="two")
    bench.settle()
    bench.commit(A, positions(orders(0)))
    before, size = bench.log.state, len(bench.log.log)
    with pytest.raises(GroupError, match=re.escape(bad.text)) as refusal:
        bad.act(bench)
    assert refusal.value.reason is bad.reason
    assert str(refusal.value).startswith(f"{bad.reason.name}: ")
    assert bench.log.state == before
    assert len(bench.log.log) == size


Act = Callable[[], object]
"""The one too many; everything before it must be taken."""


def full_group(_: pytest.MonkeyPatch, bench: GroupBench) -> Act:
    bench.catalog = catalog(orders=1)
    for number in range(MEMBERS_PER_GROUP_MAX):
        bench.join(MemberId(f"m{number}"), instance="static" if number == 7 else "")
    bench.join(B, instance="static")  # A static member's return needs no room.
    return lambda: bench.join(C)


def many_groups(patch: pytest.MonkeyPatch, bench: GroupBench) -> Act:
    patch.setattr(draft, "GROUPS_MAX", 1)
    bench.join(A)
    bench.join(B)
    return lambda: join_as(subscribing("orders"), "second")(bench)


def many_commits(patch: pytest.MonkeyPatch, bench: GroupBench) -> Act:
    patch.setattr(offsets, "COMMITS_MAX", 3)
    bench.join(A)
    bench.commit(A, positions(orders(0, 1, 2)))
    bench.commit(A, positions(orders(0, 1, 2)))  # The same again are no more.
    return lambda: bench.commit(A, positions(orders(2, 3)))


def many_patterns(patch: pytest.MonkeyPatch, bench: GroupBench) -> Act:
    patch.setattr(topics, "PATTERNS_PER_GROUP_MAX", 2)
    bench.join(A, pattern="o.*")
    bench.join(B, pattern="c.*")
    return lambda: bench.join(C, pattern="x.*")


def many_topics(patch: pytest.MonkeyPatch, bench: GroupBench) -> Act:
    patch.setattr(topics, "TOPICS_PER_GROUP_MAX", 1)
    bench.join(A, pattern="o.*")
    return lambda: bench.join(B, pattern=".*")


def many_partitions(_: pytest.MonkeyPatch, bench: GroupBench) -> Act:
    bench.catalog = catalog(orders=10_000, clicks=10_000)
    bench.join(A, "orders", "clicks")
    bench.leave(A)
    bench.catalog = catalog(2, orders=10_000, clicks=10_001)
    bench.join(A)
    return lambda: bench.join(B, "orders", "clicks")


LIMITS = {
    Reason.GROUP_FULL: full_group,
    Reason.TOO_MANY_GROUPS: many_groups,
    Reason.TOO_MANY_COMMITS: many_commits,
    Reason.TOO_MANY_PATTERNS: many_patterns,
    Reason.TOO_MANY_TOPICS: many_topics,
    Reason.TOO_MANY_PARTITIONS: many_partitions,
}


@pytest.mark.parametrize("reason", LIMITS, ids=lambda reason: reason.name)
def test_limits_are_kept(reason: Reason, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is refused by name."""
    act = LIMITS[reason](monkeypatch, GroupBench())
    with pytest.raises(GroupError) as refusal:
        act()
    assert refusal.value.reason is reason


def test_every_reason_is_tried() -> None:
    """A new reason needs a case here."""
    assert {bad.reason for bad in BAD} | set(LIMITS) == set(Reason)
