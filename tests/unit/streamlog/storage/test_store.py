from __future__ import annotations

from store_harness import (
    LATENCY,
    Recorder,
    append_values,
    content,
    creation_of,
    new_store,
    run,
)

from jepsen_like.sim.disk import SimDisk
from replication.types import GroupId, HardState, ReplicaId, Term, WriteSequence
from streamlog.storage.group_log import GroupLog


def test_what_was_written_is_there_after_a_clean_stop() -> None:
    """Appends and hard state come back after stop and start, and the stop counts as clean."""

    async def work() -> None:
        disk = SimDisk(latency=LATENCY)
        store, recorder = new_store(disk), Recorder()
        await store.start(recorder)
        log = await store.create(creation_of(1))
        assert isinstance(log, GroupLog)
        log.save_hard_state(WriteSequence(1), HardState(Term(2), ReplicaId(3)))
        written = append_values(log, 2, 2, [[b"a", b"b"], [b"c" * 3000]])
        written += append_values(log, 3, 2, [[b"d" * 9000]])
        written += append_values(log, 4, 2, [[b"e"]])
        await log.settled()
        assert recorder.completed == {GroupId(1): 4}
        await store.stop()

        again, recorder = new_store(disk), Recorder()
        await again.start(recorder)
        found = again.logs[GroupId(1)]
        assert isinstance(found, GroupLog)
        assert not again.unclean_start
        assert found.hard_state == HardState(Term(2), ReplicaId(3))
        assert await content(found) == tuple(written)
        assert found.end == log.end
        await again.stop()

    run(work())
