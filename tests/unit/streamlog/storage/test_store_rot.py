"""One flipped byte anywhere in a data directory: refused, reported or harmless; never served."""

from __future__ import annotations

import asyncio
import random

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.errors import LogCorrupt, StorageFailed
from streamlog.storage.group.group_log import GroupLog
from tests.fakes.store_harness import (
    LATENCY,
    ModelGroup,
    Recorder,
    StoreLife,
    content,
    new_store,
    run,
)

FEATURES = ("append", "hard state", "wait", "truncate", "checkpoint", "start")


async def lived(seed: int) -> tuple[SimDisk, dict[int, ModelGroup]]:
    """A disk after some random writes, all complete and covered by a MARK."""
    rng = random.Random(seed)
    disk = SimDisk(random.Random(seed + 1), latency=LATENCY)
    models = {number: ModelGroup.of(number) for number in range(1, 4)}
    life = StoreLife(disk, models, rng, FEATURES)
    await life.run(rng.randint(20, 150), stop=rng.random() < 0.5)
    await asyncio.sleep(0.1)
    for group in models.values():
        group.completed = len(group.history) - 1
    return disk, models


async def check(disk: SimDisk, models: dict[int, ModelGroup]) -> str:
    """What became of the node: "refused", or the groups' fates; raises on a wrong answer."""
    store = new_store(disk)
    try:
        await store.start(Recorder())
    except StorageFailed:
        return "refused"
    fates: list[str] = []
    for group in models.values():
        log = store.logs.get(group.creation.group_id)
        if log is None:
            if group.created:
                name = f"groups/{group.creation.group_id:016x}"
                assert name in store.unknown_directories, "a lost group is reported"
                fates.append("unknown")
            continue
        assert isinstance(log, GroupLog)
        if log.needs_install:
            fates.append("needs install")
            continue
        assert log.hard_state == group.now.hard_state, "a vote was forgotten"
        assert log.end.end == (group.now.entries[-1][1] if group.now.entries else 0)
        try:
            found = await content(log)
        except LogCorrupt:
            fates.append("refused a read")
            continue
        expected = tuple(e for e in group.now.entries if e[0] >= log.start.end)
        assert found == expected, "rot was served"
        fates.append("sound")
    await store.stop()
    return ", ".join(sorted(fates))


@pytest.mark.parametrize("seed", range(60))
def test_one_flipped_byte_is_never_served(seed: int) -> None:
    """Whichever file it hits: journal, checkpoint, segment, index, state."""
    rng = random.Random(seed)

    async def work() -> None:
        disk, models = await lived(seed)
        disk = disk.crash(rng)
        files = [path for path in disk.files() if disk.content(path) and path != "running"]
        path = rng.choice(files)
        data = disk.content(path)
        used = [i for i in range(len(data)) if data[i]] if path.startswith("journal/") else []
        at = rng.choice(used) if used else rng.randrange(len(data))
        disk.flip_bits(path, at, 1 << rng.randrange(8))
        await check(disk, models)

    run(work())


@pytest.mark.parametrize(
    ("kind", "noticed"),
    [
        ("journal/", "needs install"),
        (".checkpoint", "sound"),
        (".segment", "refused a read"),
        (".state", "sound"),
        (".index", "sound"),
    ],
)
def test_rot_in_files_of_every_kind(kind: str, noticed: str) -> None:
    """The newest file of each kind is hit: rot in data is noticed, rot in what can be made again
    (or is kept twice) does no harm."""
    fates: list[str] = []

    async def work(seed: int) -> None:
        rng = random.Random(seed)
        disk, models = await lived(seed)
        disk = disk.crash(rng)
        files = [path for path in disk.files() if kind in path and any(disk.content(path)[4096:])]
        files = files or [path for path in disk.files() if kind in path]
        if not files:
            return
        data = disk.content(files[-1])
        used = [i for i in range(len(data)) if data[i]]
        disk.flip_bits(files[-1], rng.choice(used), 1 << rng.randrange(8))
        fates.append(await check(disk, models))

    for seed in range(100, 132):
        run(work(seed))
    assert any(noticed in fate for fate in fates), fates
