"""What a worker may commit and what it may begin, against twins too dumb to be wrong."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamlog.client.groups.worker_lanes import KeyLanes
from streamlog.client.groups.worker_progress import PartitionProgress, Taken

Work = tuple[str, str | None, int]
"""Partition, key, number."""


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_only_the_done_prefix_counts(gaps: list[int], order: object) -> None:
    """Records finish in any order: after each, the position is that of a list that is searched
    from its start, and the window and the unfinished ones are those behind it."""
    progress = PartitionProgress()
    taken: list[Taken] = []
    offset = 0
    for gap in gaps:
        offset += gap
        taken.append(progress.take(offset))
    assert progress.position is None
    assert progress.resume_at == taken[0].offset
    shuffled = list(taken)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    finished: list[Taken] = []
    before: int | None = None
    for each in shuffled:
        moved = progress.finish(each)
        finished.append(each)
        prefix = 0
        while prefix < len(taken) and taken[prefix] in finished:
            prefix += 1
        assert progress.position == (taken[prefix - 1].offset + 1 if prefix else None)
        assert moved == (progress.position != before)
        before = progress.position
        assert progress.window == len(taken) - prefix
        assert progress.unfinished == len(taken) - len(finished)
        left = [record.offset for record in taken if record not in finished]
        assert progress.resume_at == (left[0] if left else taken[-1].offset + 1)


class Lanes(RuleBasedStateMachine):
    """The lanes beside two lists: what waits, in order, and what is being handled."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: KeyLanes[Work] = KeyLanes()
        self.waiting: list[Work] = []
        self.running: list[Work] = []
        self.added = 0

    @rule(partition=st.sampled_from("pq"), key=st.sampled_from([None, "a", "b", "c"]))
    def add(self, partition: str, key: str | None) -> None:
        work = (partition, key, self.added)
        self.added += 1
        self.waiting.append(work)
        self.lanes.add(None if key is None else (partition, key), work)

    @rule()
    def begin(self) -> None:
        """What begins is the first of its key, and nothing of its key runs; what may not begin
        must not."""
        turn = self.lanes.next()
        may = self.may_begin()
        if turn is None:
            assert not may
            return
        key, work = turn
        assert work in may
        assert key == (None if work[1] is None else work[:2])
        self.waiting.remove(work)
        self.running.append(work)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        work = data.draw(st.sampled_from(self.running))
        self.running.remove(work)
        self.lanes.release(None if work[1] is None else work[:2])

    @rule(partition=st.sampled_from("pq"), below=st.integers(0, 60))
    def drop(self, partition: str, below: int) -> None:
        """Of any kind: a partition's, or the older ones of it."""
        unwanted: Callable[[Work], bool] = lambda work: work[0] == partition and work[2] < below  # noqa: E731
        dropped = [work for work in self.waiting if unwanted(work)]
        self.waiting = [work for work in self.waiting if not unwanted(work)]
        assert self.lanes.drop(unwanted) == len(dropped)

    @invariant()
    def counts(self) -> None:
        assert self.lanes.queued == len(self.waiting)
        assert self.lanes.ready == len(self.may_begin())

    def teardown(self) -> None:
        """Everything that waits is handled in the end, and nothing remains."""
        while self.waiting or self.running:
            while self.running:
                work = self.running.pop()
                self.lanes.release(None if work[1] is None else work[:2])
            assert not self.waiting or self.may_begin()
            while (turn := self.lanes.next()) is not None:
                self.waiting.remove(turn[1])
                self.running.append(turn[1])
        assert not self.lanes._waiting

    def may_begin(self) -> list[Work]:
        """The first that waits of each key of which none runs; every one without a key."""
        busy = {work[:2] for work in self.running if work[1] is not None}
        found = []
        for work in self.waiting:
            if work[1] is None:
                found.append(work)
            elif work[:2] not in busy:
                busy.add(work[:2])
                found.append(work)
        return found


TestLanes = Lanes.TestCase
