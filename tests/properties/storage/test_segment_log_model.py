"""Random lives of a segment log beside a list of frames that is right by being dumb."""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from replication.types import Offset
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.segments.retention import UNLIMITED, RetentionPolicy
from tests.fakes.segment_harness import Batch, ModelLog, SegmentHarness, turns

TIMES = st.integers(min_value=900, max_value=1_100)
SHARES = st.integers(min_value=0, max_value=1_000)
BATCHES = st.lists(
    st.builds(
        lambda stamps, padding, control, producer: (stamps, padding, control, producer),
        st.lists(TIMES, min_size=1, max_size=4).map(tuple),
        st.sampled_from((0, 0, 40, 150, 700)),
        st.sampled_from((False, False, False, True)),
        st.sampled_from((None, 1, 2)),
    ),
    min_size=1,
    max_size=6,
)


class SegmentLogMachine(RuleBasedStateMachine):
    """Appends, rolls, truncates, writes, checkpoints, crashes and reads in any order.

    A truncation counts for the files only once `cut_files` is called: until then the log must
    still open at the checkpoint before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.harness: SegmentHarness | None = None
        self.saved: tuple[SegmentCheckpoint, ModelLog] | None = None
        self.truncated = False
        """Truncated since `cut_files`."""
        self.producer_epoch = 0

    @property
    def h(self) -> SegmentHarness:
        assert self.harness is not None
        return self.harness

    @initialize(seed=st.integers(0, 1_000), tail=st.sampled_from((0, 2_000, 100_000)))
    def begin(self, seed: int, tail: int) -> None:
        self.harness = SegmentHarness(tail_bytes_max=tail, seed=seed)

    def _boundary(self, share: int) -> int:
        boundaries = self.h.model.boundaries()
        return boundaries[share * (len(boundaries) - 1) // 1_000]

    def _append(
        self, shapes: list[tuple[tuple[int, ...], int, bool, int | None]], *, next_term: bool
    ) -> None:
        batches: list[Batch] = []
        sequences: dict[int, int] = {}
        state = self.h.model.state(self.h.model.end)
        for stamps, padding, control, producer_id in shapes:
            producer = None
            if producer_id is not None and not control:
                known = state.producer(producer_id)
                after = known.batches[-1].last_sequence + 1 if known is not None else 0
                base = sequences.get(producer_id, after)
                sequences[producer_id] = base + len(stamps)
                producer = (producer_id, 0, base)
            batches.append(Batch(stamps, padding, control, producer))
        self.h.append(*batches, term=self.h.term + (1 if next_term else 0))

    @rule(shapes=BATCHES, next_term=st.booleans())
    def append(
        self, shapes: list[tuple[tuple[int, ...], int, bool, int | None]], next_term: bool
    ) -> None:
        self._append(shapes, next_term=next_term)

    @rule(share=SHARES)
    def truncate(self, share: int) -> None:
        end = self._boundary(share)
        if end < self.h.model.end:
            self.truncated = True
        self.h.truncate(end)

    @rule()
    def cut(self) -> None:
        if self.truncated:
            self._forget_what_is_cut()
            self.truncated = False
        self.h.run(self.h.log.cut_files())
        assert not self.h.log.needs_cut
        assert self.h.log.state.exact

    def _forget_what_is_cut(self) -> None:
        if self.saved is not None:
            checkpoint, model = self.saved
            common = 0
            for ours, theirs in zip(self.h.model.entries, model.entries, strict=False):
                if ours != theirs:
                    break
                common = ours.end
            if common < checkpoint.end.end:
                self.saved = None

    @precondition(lambda self: not self.truncated)
    @rule()
    def write(self) -> None:
        self.h.run(self.h.log.write_pending())
        assert self.h.log.pending_bytes == 0
        assert self.h.log.written_end == self.h.model.end
        self.h.check_files()

    @precondition(lambda self: not self.truncated)
    @rule()
    def checkpoint(self) -> None:
        model = self.h.model.copy()
        checkpoint = self.h.run(self.h.log.checkpoint())
        assert checkpoint.end == self.h.log.end
        self.saved = (checkpoint, model)

    @precondition(lambda self: not self.truncated)
    @rule(share=SHARES, after=st.integers(0, 12), shapes=BATCHES, what=st.integers(0, 2))
    def truncate_during_file_work(
        self,
        share: int,
        after: int,
        shapes: list[tuple[tuple[int, ...], int, bool, int | None]],
        what: int,
    ) -> None:
        """While a checkpoint or a write is under way the log is truncated and goes on."""
        log, model = self.h.log, self.h.model.copy()
        cut = self._boundary(share)

        async def both() -> SegmentCheckpoint | None:
            if what == 0:
                work: asyncio.Task[SegmentCheckpoint | None] = asyncio.ensure_future(
                    log.checkpoint()
                )
            else:
                work = asyncio.ensure_future(
                    log.write_pending() if what == 1 else log.write_through()
                )
            await asyncio.sleep(0)  # it has begun
            await turns(after)
            if cut < self.h.model.end:
                self.truncated = True
            self.h.truncate(cut)
            self._append(shapes, next_term=True)
            self.h.check()
            await self._read_all()
            return await work

        checkpoint = self.h.run(both())
        assert log.written_end >= min(cut, model.end)
        if checkpoint is not None:
            model.truncate(checkpoint.end.end)
            assert checkpoint.end.end in (cut, model.end)
            assert checkpoint.end.end == model.end
            assert checkpoint.end.term == model.term_at(model.end)
            self.saved = (checkpoint, model)

    async def _read_all(self) -> None:
        expected = self.h.model.readable(self.h.model.start, self.h.model.end)
        assert await self.h.read_everything() == b"".join(e.frame for e in expected)

    @precondition(lambda self: self.saved is not None)
    @rule(power_cut=st.booleans(), seed=st.integers(0, 1_000))
    def crash(self, power_cut: bool, seed: int) -> None:
        """The log is opened at the last checkpoint, and is what it was then."""
        assert self.saved is not None
        checkpoint, model = self.saved
        model.start = self.h.model.start
        self.h.rng.seed(seed)
        disk = self.h.disk
        self.h.disk = disk.crash(self.h.rng) if power_cut else disk.process_killed()
        self.h.run(self.h.open(checkpoint, model))
        self.truncated = False
        self.h.run(self._read_all())

    @precondition(lambda self: self.saved is not None and not self.truncated)
    @rule(share=SHARES)
    def move_start(self, share: int) -> None:
        """Only below what a checkpoint covers: that is the store's rule."""
        assert self.saved is not None
        checkpoint, _ = self.saved
        start = self._boundary(share)
        if start <= checkpoint.end.end and not self.h.log.needs_cut:
            self.h.run(self.h.move_start(start))

    @rule(age_ms=st.sampled_from((UNLIMITED, 1)), size_bytes=st.sampled_from((UNLIMITED, 1_500)))
    def look_for_retention(self, age_ms: int, size_bytes: int) -> None:
        """Closes a stale segment; what it names is a boundary, and everything can still be read."""
        policy = RetentionPolicy(age_ms, size_bytes)
        kept_from = self.h.run(self.h.log.retained_from(policy, 1_800_000_000_000))
        assert kept_from in self.h.model.boundaries()
        if policy == RetentionPolicy(UNLIMITED, UNLIMITED):
            assert kept_from == self.h.model.start

    @rule(share=SHARES, length=SHARES, max_bytes=st.sampled_from((1, 300, 1_000, 100_000)))
    def read(self, share: int, length: int, max_bytes: int) -> None:
        model = self.h.model
        start = model.start + share * (model.end - model.start) // 1_000
        end = start + length * (model.end - start) // 1_000 + 1
        at_once = self.h.log.read_nowait(Offset(start), Offset(end), max_bytes)
        if at_once is not None:
            self.h.check_read(at_once, start, end, max_bytes)
        waited = self.h.run(self.h.log.read(Offset(start), Offset(end), max_bytes))
        self.h.check_read(waited, start, end, max_bytes)

    @rule(timestamp=TIMES)
    def look_up_time(self, timestamp: int) -> None:
        found = self.h.run(self.h.log.offset_for_timestamp(timestamp, self.h.log.start.end))
        assert found == self.h.model.find_timestamp(timestamp)

    @rule(share=SHARES, length=SHARES)
    def look_up_record(self, share: int, length: int) -> None:
        """The first record at or after an offset, with its own timestamp."""
        model = self.h.model
        start = model.start + share * (model.end - model.start) // 1_000
        end = start + length * (model.end - start) // 1_000
        found = self.h.run(self.h.log.record_at(Offset(start), Offset(end)))
        assert found == model.find_record(start, end)

    @invariant()
    def same_as_the_model(self) -> None:
        if self.harness is not None:
            self.h.check()
            assert self.h.resources.files.open_count <= 2

    def teardown(self) -> None:
        if self.harness is None:
            return
        try:
            self.h.run(self._read_all())
        finally:
            self.h.close()


SegmentLogMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestSegmentLog = SegmentLogMachine.TestCase
