"""Memory of the newest frames is bounded by bytes, not by how often lists are tidied."""

from __future__ import annotations

from streamlog.storage.segments.log_state import StateUndo
from streamlog.storage.segments.log_tail import LogTail, TailFrame, TailMemory

FRAME_BYTES = 10_000
LIMIT_BYTES = 30 * FRAME_BYTES


def frame(number: int, undo: StateUndo) -> TailFrame:
    return TailFrame(0, number * FRAME_BYTES, number, number + 1, bytes(FRAME_BYTES), 0, 0, undo)


def test_what_left_the_budget_is_freed_at_once() -> None:
    """Over several tails, each with fewer frames than it takes to tidy its list, the bytes that
    frames still hold stay within the budget (250 frames of each were kept once)."""
    memory = TailMemory(LIMIT_BYTES)
    tails = [LogTail(memory) for _ in range(4)]
    undo = StateUndo(data_end=0, producer=None)
    made: list[TailFrame] = []
    for number in range(200):
        for tail in tails:
            made.append(frame(number, undo))
            tail.push(made[-1])
            tail.mark_written(tail.next_run(1 << 40, 1 << 20, 16))
    held = sum(len(each.frame) for each in made)
    assert held <= LIMIT_BYTES
    newest = tails[0].collect(199, 200, 1 << 20)
    assert [len(one) for one in newest] == [FRAME_BYTES]
