"""Commits on their way: order, merging, repetition, and who is told."""

from __future__ import annotations

import pytest

from streamlog.client import BufferFull, ClientError, CommitRefused, OffsetAndMetadata
from streamlog.client.groups import commits as module
from streamlog.client.groups.commits import Commit, Commits
from streamlog.client.records import TopicPartition
from streamlog.model.errors import Reason

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
IDS = {A: (7, 0), B: (7, 1)}


class Queue:
    """With a diary of who was told what."""

    def __init__(self) -> None:
        self.woken = 0
        self.told: list[tuple[str, str]] = []
        self.commits = Commits(self.wake)

    def wake(self) -> None:
        self.woken += 1

    def add(self, name: str, offsets: dict[TopicPartition, int], **options: int) -> Commit:
        return self.commits.add(
            options.get("epoch", 1),
            {IDS[pair]: OffsetAndMetadata(at) for pair, at in offsets.items()},
            {IDS[pair]: pair for pair in offsets},
            lambda error: self.told.append((name, "" if error is None else error.reason)),
            merges=bool(options.get("merges")),
        )

    def send(self) -> Commit:
        commit = self.commits.next()
        assert commit is not None
        return commit


def offsets_of(commit: Commit) -> dict[int, int]:
    return {each.partition: each.offset for each in commit.message()}


def failure(reason: Reason, **metadata: str) -> ClientError:
    return ClientError(
        "no",
        reason=reason.name,
        code=reason.info.code,
        retriable=reason.info.retriable,
        metadata=metadata,
    )


def test_one_is_on_the_way_at_a_time_in_order() -> None:
    """The next one leaves when the one before was answered; an answer that is of none is passed
    over."""
    queue = Queue()
    queue.add("first", {A: 1})
    queue.add("second", {A: 2})
    first = queue.send()
    assert queue.commits.next() is None
    assert queue.commits.answered(first.sequence + 5, None)
    assert queue.told == []
    queue.commits.answered(first.sequence, None)
    second = queue.send()
    assert (offsets_of(first), offsets_of(second)) == ({0: 1}, {0: 2})
    queue.commits.answered(second.sequence, None)
    assert queue.told == [("first", ""), ("second", "")]
    assert queue.commits.next() is None


def test_what_nobody_waits_for_is_merged_and_the_newest_position_counts() -> None:
    """Within one epoch, and behind what waits already; a commit that somebody waits for ends the
    merging, so that a position never goes back."""
    queue = Queue()
    for number in (1, 2, 3):
        queue.add(f"a{number}", {A: number, **({B: 9} if number == 2 else {})}, merges=1)
    queue.add("waits", {A: 4})
    queue.add("a5", {A: 5}, merges=1)
    queue.add("other epoch", {A: 6}, merges=1, epoch=2)
    sent: list[tuple[int, dict[int, int]]] = []
    while (commit := queue.commits.next()) is not None:
        sent.append((commit.epoch, offsets_of(commit)))
        queue.commits.answered(commit.sequence, None)
    assert sent == [(1, {0: 3, 1: 9}), (1, {0: 4}), (1, {0: 5}), (2, {0: 6})]
    assert [name for name, _ in queue.told] == ["a1", "a2", "a3", "waits", "a5", "other epoch"]


def test_what_is_sent_takes_no_more() -> None:
    """A newer position does not slip into a message that is on its way, nor into one that will be
    repeated."""
    queue = Queue()
    queue.add("old", {A: 1}, merges=1)
    sent = queue.send()
    queue.add("new", {A: 2}, merges=1)
    queue.commits.stream_lost()
    again = queue.send()
    assert again is sent
    assert offsets_of(again) == {0: 1}
    assert again.sequence == 2
    queue.commits.answered(2, None)
    assert offsets_of(queue.send()) == {0: 2}


def test_a_failure_that_passes_is_tried_again_first() -> None:
    """Before what came after it, and nobody is told meanwhile."""
    queue = Queue()
    queue.add("first", {A: 1})
    queue.add("second", {A: 2})
    assert not queue.commits.answered(queue.send().sequence, failure(Reason.REQUEST_TIMED_OUT))
    assert queue.told == []
    assert offsets_of(queue.send()) == {0: 1}
    queue.commits.failed(2, failure(Reason.LEADER_NOT_AVAILABLE))
    assert queue.told == [("first", "LEADER_NOT_AVAILABLE")]
    assert offsets_of(queue.send()) == {0: 2}


def test_a_refusal_names_its_partitions() -> None:
    """Those that the coordinator named, else all of the commit."""
    errors: list[ClientError | None] = []
    queue = Commits(lambda: None)
    names = {IDS[pair]: pair for pair in (A, B)}
    positions = {key: OffsetAndMetadata(1) for key in names}
    for metadata in ({"partitions": "7/1,8/0"}, {}):
        queue.add(1, positions, names, errors.append, merges=False)
        commit = queue.next()
        assert commit is not None
        queue.answered(commit.sequence, failure(Reason.STALE_MEMBER_EPOCH, **metadata))
    found = [error.partitions for error in errors if isinstance(error, CommitRefused)]
    assert found == [[B], [A, B]]


def test_the_end_of_the_membership_refuses_everything() -> None:
    """On the way or not; each is told once."""
    queue = Queue()
    queue.add("first", {A: 1})
    queue.add("second", {B: 2}, merges=1)
    queue.send()
    assert queue.commits.mentions([IDS[B]])
    queue.commits.refuse_all(failure(Reason.UNKNOWN_MEMBER))
    assert queue.told == [("first", "UNKNOWN_MEMBER"), ("second", "UNKNOWN_MEMBER")]
    assert not queue.commits.mentions(IDS.values())
    assert queue.commits.next() is None


def test_who_waits_no_more_is_not_told() -> None:
    """What was not sent is not sent any more; what was, may be repeated without anybody."""
    queue = Queue()
    sent, waiting = queue.add("sent", {A: 1}), queue.add("waiting", {A: 2})
    queue.send()
    for commit in (sent, waiting):
        queue.commits.abandon(commit)
    queue.commits.answered(1, None)
    assert queue.commits.next() is None
    assert queue.told == []


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both by commits and by callers of one; nothing is dropped."""
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    monkeypatch.setattr(module, "TOLD_MAX", 2)
    queue = Queue()
    for number in range(2):
        queue.add(f"merged {number}", {A: number}, merges=1)
    with pytest.raises(BufferFull):
        queue.add("one too many", {A: 9}, merges=1)
    queue.add("second", {A: 3})
    queue.add("third", {A: 4})
    with pytest.raises(BufferFull):
        queue.add("fourth", {A: 5})
    assert offsets_of(queue.send()) == {0: 1}


def test_a_closed_consumer_leaves_nobody_waiting() -> None:
    """What was sent may be stored or not, what was not is not; both are told at once."""
    told: list[tuple[str, bool]] = []
    commits = Commits(lambda: None)
    for number in (1, 2):
        commits.add(
            1,
            {IDS[A]: OffsetAndMetadata(number)},
            {IDS[A]: A},
            lambda error: told.append(
                (type(error).__name__, error is not None and error.indefinite)
            ),
            merges=False,
        )
    sent = commits.next()
    assert sent is not None
    commits.close()
    assert told == [("ClientClosed", True), ("ClientClosed", False)]
    commits.answered(sent.sequence, None)
    assert (len(told), commits.next()) == (2, None)
