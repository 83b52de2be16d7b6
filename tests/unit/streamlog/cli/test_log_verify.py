"""`streamlog log verify` on whole data directories: each kind of damage is found and named, with
what to do, and told from what a crash leaves and from what the node makes anew."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.log.finding import (
    COPY_ADVICE,
    INDEX_ADVICE,
    LOST_ADVICE,
    NODE_ADVICE,
    ONLY_COPY_ADVICE,
)
from streamlog.cli.main import build
from streamlog.storage.journal.frame import (
    BLOCK_BYTES,
    FRAME_HEADER_BYTES,
    FrameKind,
    decode_file_header,
    decode_frame,
    salt,
)
from tests.fakes.data_directories import export, lived_node, name_node
from tests.fakes.store_harness import LATENCY, ModelGroup, StoreLife, run

Damage = Callable[[Path], object]
DAMAGED, REBUILT, NORMAL, FOREIGN = (
    "damaged",
    "rebuilt at next start",
    "normal after a crash",
    "not the node's",
)
LOG = "groups/0000000000000001/00000001"
LONE_LOG = "groups/0000000000000003/00000001"
METADATA = "groups/0000000000000000"


def base(offset: int, suffix: str = "segment") -> str:
    return f"{offset:020d}.{suffix}"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that stopped in an orderly way."""
    return export(run(lived_node(stop=True)), tmp_path_factory.mktemp("stopped"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that was killed with records in its journal only."""
    disk = run(lived_node(stop=False, batches=95))
    return export(disk, tmp_path_factory.mktemp("killed"))


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """A directory to damage."""

    def made(source: Path) -> Path:
        return Path(shutil.copytree(source, tmp_path / "node-1"))

    return made


def verify(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and report."""
    code = 0
    try:
        build()(["log", "verify", *map(str, paths), "-o", "json"], standalone_mode=False)
    except CommandFailed as failure:
        code = failure.exit_code
    return code, json.loads(capsys.readouterr().out or "{}")


def flip(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x10
    path.write_bytes(data)


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def cut(path: Path, size: int) -> None:
    os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def only(directory: Path, pattern: str, *, newest: bool = True) -> Path:
    """The newest, or oldest, of some files."""
    return sorted(directory.glob(pattern))[-1 if newest else 0]


def batch_bytes(path: Path) -> int:
    """All batches of the file are of one size, some 750 bytes."""
    return (path.stat().st_size - 71) // 21


def cut_at_a_batch(path: Path) -> None:
    cut(path, -batch_bytes(path))


def unlink(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink()


def each(directory: Path, change: Damage) -> None:
    for path in sorted(directory.iterdir()):
        change(path)


def zero_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(BLOCK_BYTES))


def flushes(directory: Path) -> list[tuple[Path, int]]:
    """File and byte of each, in order."""
    found: list[tuple[Path, int]] = []
    for path in sorted((directory / "journal").glob("*.journal")):
        data = path.read_bytes()
        header = decode_file_header(data)
        assert header is not None
        file_salt = salt(header.journal_id, header.sequence)
        for at in range(BLOCK_BYTES, len(data), BLOCK_BYTES):
            frame = decode_frame(file_salt, data, at, len(data))
            if frame is not None and frame[0].kind is FrameKind.MARK:
                found.append((path, at))
    return found


def swap_batches(path: Path) -> None:
    """The second and the third, each whole."""
    data, size = path.read_bytes(), batch_bytes(path)
    first, second, third = 71 + size, 71 + 2 * size, 71 + 3 * size
    path.write_bytes(data[:first] + data[second:third] + data[first:second] + data[third:])


CASES: dict[str, tuple[Damage, str, str, str, str | None]] = {
    "middle segment removed": (
        lambda d: (d / LOG / base(21)).unlink(),
        f"{LOG}/{base(21)}",
        "the file is gone: offsets 21 to 41 are missing",
        DAMAGED,
        COPY_ADVICE,
    ),
    "segment removed with all beside it": (
        lambda d: unlink((d / LOG).glob("*21.*")),
        f"{LOG}/{base(0)}",
        "offsets 21 to 41 are missing",
        DAMAGED,
        COPY_ADVICE,
    ),
    "first segment removed": (
        lambda d: (d / LOG / base(0)).unlink(),
        f"{LOG}/{base(0)}",
        "offsets 0 to 20 are missing",
        DAMAGED,
        COPY_ADVICE,
    ),
    "last segment removed": (
        lambda d: (d / LOG / base(84)).unlink(),
        f"{LOG}/{base(63)}",
        "the checkpoint says 90: offsets 84 to 89 are missing",
        DAMAGED,
        COPY_ADVICE,
    ),
    "segment of a lone replica removed": (
        lambda d: (d / LONE_LOG / base(21)).unlink(),
        f"{LONE_LOG}/{base(21)}",
        "the file is gone",
        DAMAGED,
        ONLY_COPY_ADVICE,
    ),
    "whole log removed": (
        lambda d: shutil.rmtree(d / LOG),
        f"{LOG}/{base(0)}",
        "offsets 0 to 89 are missing",
        DAMAGED,
        COPY_ADVICE,
    ),
    "sealed segment cut at a batch": (
        lambda d: cut_at_a_batch(d / LOG / base(21)),
        f"{LOG}/{base(21)}",
        "ends at offset 41, the next segment begins at 42: offsets 41 to 41 are missing",
        DAMAGED,
        COPY_ADVICE,
    ),
    "sealed segment cut in a batch": (
        lambda d: cut(d / LOG / base(21), -10),
        f"{LOG}/{base(21)}",
        "the file ends within the batch",
        DAMAGED,
        COPY_ADVICE,
    ),
    "active segment cut": (
        lambda d: cut(d / LOG / base(84), -10),
        f"{LOG}/{base(84)}",
        "the file ends within the batch",
        DAMAGED,
        COPY_ADVICE,
    ),
    "segment emptied": (
        lambda d: cut(d / LOG / base(21), 0),
        f"{LOG}/{base(21)}",
        "too few for a segment's head",
        DAMAGED,
        COPY_ADVICE,
    ),
    "bit of a segment": (
        lambda d: flip(d / LOG / base(21)),
        f"{LOG}/{base(21)}",
        "CRC32C is",
        DAMAGED,
        COPY_ADVICE,
    ),
    "head of a segment": (
        lambda d: flip(d / LOG / base(21), 20),
        f"{LOG}/{base(21)}",
        "the segment's head is wrong",
        DAMAGED,
        COPY_ADVICE,
    ),
    "segment of another log": (
        lambda d: shutil.copy(d / LONE_LOG / base(21), d / LOG / base(21)),
        f"{LOG}/{base(21)}",
        "not of this log, group 1",
        DAMAGED,
        COPY_ADVICE,
    ),
    "segment under another name": (
        lambda d: shutil.copy(d / LOG / base(42), d / LOG / base(21)),
        f"{LOG}/{base(21)}",
        "begins at offset 42",
        DAMAGED,
        COPY_ADVICE,
    ),
    "batches in another order": (
        lambda d: swap_batches(d / LOG / base(21)),
        f"{LOG}/{base(21)}",
        "the batch begins at offset 23",
        DAMAGED,
        COPY_ADVICE,
    ),
    "bytes behind a log's end": (
        lambda d: append(d / LOG / base(84), b"behind"),
        f"{LOG}/{base(84)}",
        "the 6 bytes above are not believed",
        NORMAL,
        None,
    ),
    "index flipped": (
        lambda d: flip(d / LOG / base(21, "index")),
        f"{LOG}/{base(21, 'index')}",
        "the checksum does not match",
        REBUILT,
        None,
    ),
    "time index flipped": (
        lambda d: flip(d / LOG / base(21, "timeindex")),
        f"{LOG}/{base(21, 'timeindex')}",
        "the checksum does not match",
        REBUILT,
        None,
    ),
    "index gone": (
        lambda d: (d / LOG / base(21, "index")).unlink(),
        f"{LOG}/{base(21, 'index')}",
        "is missing",
        REBUILT,
        None,
    ),
    "indexes of another segment": (
        lambda d: [
            shutil.copy(d / LOG / base(42, kind), d / LOG / base(21, kind))
            for kind in ("index", "timeindex")
        ],
        f"{LOG}/{base(21, 'index')}",
        "does not fit its segment",
        REBUILT,
        None,
    ),
    "indexes of another log": (
        lambda d: [
            shutil.copy(d / LONE_LOG / base(21, kind), d / LOG / base(21, kind))
            for kind in ("index", "timeindex")
        ],
        f"{LOG}/{base(21, 'index')}",
        "ends as its segment does, but does not fit it",
        DAMAGED,
        INDEX_ADVICE,
    ),
    "state flipped": (
        lambda d: flip(d / LOG / base(42, "state")),
        f"{LOG}/{base(42, 'state')}",
        "the checksum does not match",
        REBUILT,
        None,
    ),
    "state under another name": (
        lambda d: shutil.copy(d / LOG / base(21, "state"), d / LOG / base(42, "state")),
        f"{LOG}/{base(42, 'state')}",
        "ends at offset 21",
        REBUILT,
        None,
    ),
    "snapshot flipped": (
        lambda d: flip(d / METADATA / "00000001.snapshot"),
        f"{METADATA}/00000001.snapshot",
        "the checksum does not match",
        DAMAGED,
        COPY_ADVICE,
    ),
    "snapshot gone": (
        lambda d: (d / METADATA / "00000001.snapshot").unlink(),
        f"{METADATA}/00000001.snapshot",
        "is missing, and the log begins at offset 42",
        DAMAGED,
        COPY_ADVICE,
    ),
    "newest checkpoint flipped": (
        lambda d: flip(only(d, "checkpoint/*")),
        "checkpoint/",
        "the checksum does not match; the node begins with the other one",
        REBUILT,
        None,
    ),
    "older checkpoint cut": (
        lambda d: cut(only(d, "checkpoint/*", newest=False), 30),
        "checkpoint/",
        "the node begins with the other one",
        REBUILT,
        None,
    ),
    "both checkpoints flipped": (
        lambda d: each(d / "checkpoint", flip),
        "checkpoint/",
        "the checksum does not match",
        DAMAGED,
        NODE_ADVICE,
    ),
    "checkpoints gone": (
        lambda d: shutil.rmtree(d / "checkpoint"),
        "journal/0000000000000001.journal",
        "is missing",
        DAMAGED,
        NODE_ADVICE,
    ),
    "journal gone": (
        lambda d: shutil.rmtree(d / "journal"),
        "journal/",
        "is missing: recovery begins with it",
        DAMAGED,
        NODE_ADVICE,
    ),
    "journal headers zeroed": (
        lambda d: each(d / "journal", zero_header),
        "journal/",
        "its header is damaged",
        DAMAGED,
        NODE_ADVICE,
    ),
    "journal cut": (
        lambda d: each(d / "journal", lambda path: cut(path, 2 * BLOCK_BYTES)),
        "journal/",
        "has 8192 bytes, its header says 65536",
        DAMAGED,
        NODE_ADVICE,
    ),
    "journal of another node": (
        lambda d: each(d / "journal", lambda path: flip(path, 20)),
        "journal/",
        "its header is damaged",
        DAMAGED,
        NODE_ADVICE,
    ),
    "groups gone": (
        lambda d: shutil.rmtree(d / "groups"),
        "",
        "the node would not start: groups/ is missing, with 4 logs",
        DAMAGED,
        NODE_ADVICE,
    ),
    "identity flipped": (
        lambda d: flip(d / "node.identity"),
        "node.identity",
        "the checksum does not match",
        DAMAGED,
        NODE_ADVICE,
    ),
    "identity gone": (
        lambda d: (d / "node.identity").unlink(),
        "node.identity",
        "is missing",
        DAMAGED,
        NODE_ADVICE,
    ),
    "cluster state flipped": (
        lambda d: flip(d / "cluster.state"),
        "cluster.state",
        "the checksum does not match",
        DAMAGED,
        NODE_ADVICE,
    ),
    "cluster state gone": (
        lambda d: (d / "cluster.state").unlink(),
        "cluster.state",
        "is missing, but the node is of cluster",
        DAMAGED,
        NODE_ADVICE,
    ),
    "foreign files": (
        lambda d: [
            (d / place / "holiday.jpg").write_bytes(b"jpg")
            for place in (".", "journal", "checkpoint", "groups", LOG)
        ],
        f"{LOG}/holiday.jpg",
        "no file of a log",
        FOREIGN,
        None,
    ),
    "unknown log": (
        lambda d: shutil.copytree(d / LOG, d / "groups" / f"{99:016x}" / "00000001"),
        f"groups/{99:016x}",
        "neither the checkpoint nor the journal names it",
        FOREIGN,
        None,
    ),
    "leftovers": (
        lambda d: [
            (d / "journal" / f"{255:016x}.journal.new").write_bytes(b""),
            (d / "checkpoint" / f"{255:016x}.checkpoint.tmp").write_bytes(b""),
            (d / LOG / f"{base(21)}.tmp").write_bytes(b""),
            (d / f"{LOG[:-8]}00000002.snapshot").write_bytes(b""),
            (d / LOG / base(90)).write_bytes(b""),
        ],
        f"{LOG[:-8]}00000002.snapshot",
        "another copy of the log",
        NORMAL,
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_found(
    stopped: Path,
    copy: Callable[[Path], Path],
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    """In its file, with its verdict and what to do; exit code 1 for damage only. Nothing in the
    directory is changed."""
    damage, file, what, verdict, advice = CASES[case]
    directory = copy(stopped)
    damage(directory)
    before = content(directory)
    code, report = verify(capsys, directory)
    assert content(directory) == before
    found = [row for row in report["files"] if row["verdict"] != "ok"]
    fitting = [
        row
        for row in found
        if row["file"].startswith(str(directory / file)) and what in row["what"]
    ]
    assert verdict in {row["verdict"] for row in fitting}, found
    assert {row["next"] for row in fitting if row["verdict"] == verdict} == {advice}
    assert code == (1 if verdict == DAMAGED else 0)
    assert all((row["next"] is not None) == (row["verdict"] == DAMAGED) for row in found)
    assert report["sum"].get(DAMAGED, 0) == sum(row["verdict"] == DAMAGED for row in found)


def test_a_damaged_snapshot_of_a_whole_log_is_no_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log begins at 0, and so does the state machine."""
    data = export(run(lived_node(stop=True, snapshot_at=10)), tmp_path)
    flip(data / METADATA / "00000001.snapshot")
    code, report = verify(capsys, data)
    found = [row for row in report["files"] if row["file"].endswith(".snapshot")]
    assert (code, [row["verdict"] for row in found]) == (0, [REBUILT])


def content(directory: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_rot_in_the_journal_is_no_torn_end(
    killed: Path, copy: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Later flushes prove that it was durable: the logs may have forgotten votes."""
    directory = copy(killed)
    path, at = flushes(directory)[-3]
    flip(path, at + FRAME_HEADER_BYTES)
    code, report = verify(capsys, directory)
    damaged = [row for row in report["files"] if row["verdict"] == DAMAGED]
    assert code == 1
    assert {row["next"] for row in damaged} == {LOST_ADVICE}
    assert any("may have forgotten votes" in row["what"] for row in damaged)
    assert sum("is lost: frames" in row["what"] for row in damaged) >= 1


def test_the_torn_end_of_the_journal_is_normal(
    killed: Path, copy: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the last flush a crash leaves any part; it is said which."""
    directory = copy(killed)
    path, at = flushes(directory)[-1]
    flip(path, at + FRAME_HEADER_BYTES)
    code, report = verify(capsys, directory)
    assert code == 0
    told = {row["what"]: row["verdict"] for row in report["files"] if row["verdict"] != "ok"}
    assert told[f"the last flush, byte {at}, is not whole: nothing in it was reported durable"] == (
        NORMAL
    )


@pytest.mark.parametrize("kind", ["stopped", "killed"])
def test_a_sound_directory_is_well(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a stop all is ok; after a kill what is not is normal. Every file has a line."""
    directory: Path = request.getfixturevalue(kind)
    code, report = verify(capsys, directory)
    verdicts = {row["verdict"] for row in report["files"]}
    assert code == 0
    assert verdicts == ({"ok"} if kind == "stopped" else {"ok", NORMAL})
    files = {str(path) for path in directory.rglob("*") if path.is_file()}
    assert {row["file"] for row in report["files"]} == files


def test_a_table_for_people(
    stopped: Path, copy: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Damage stands last, above the sum, with what to do."""
    directory = copy(stopped)
    (directory / LOG / base(21)).unlink()
    with pytest.raises(CommandFailed, match=r"1 of .* findings is damage"):
        build()(["log", "verify", str(directory)], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "what", "verdict", "next"]
    assert base(21) in lines[-2]
    assert lines[-2].endswith(COPY_ADVICE)
    assert ", 1 damaged" in lines[-1]


def test_a_running_node_is_left_alone(
    stopped: Path, copy: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lock says so; also in a directory with several nodes."""
    directory = copy(stopped)
    (directory / "lock").write_text("4711\n")
    with (directory / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in (directory, directory.parent):
            with pytest.raises(CommandFailed, match=r"a node runs .*process 4711.*Stop it") as told:
                build()(["log", "verify", str(path)], standalone_mode=False)
            assert told.value.exit_code == EXIT_USAGE
    code, report = verify(capsys, directory.parent)
    assert code == 0
    assert report["sum"].keys() == {"ok"}


def test_a_wrong_directory(tmp_path: Path) -> None:
    """It is said what was expected."""
    (tmp_path / "holiday.jpg").write_bytes(b"jpg")
    with pytest.raises(CommandFailed, match=r"node\.identity, cluster\.state, journal/") as told:
        build()(["log", "verify", str(tmp_path)], standalone_mode=False)
    assert told.value.exit_code == EXIT_USAGE


def test_segments_without_their_node(
    stopped: Path, copy: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A log's directory, or a file: what they say by themselves is checked; the end of the newest
    may be torn."""
    log = copy(stopped) / LOG
    cut(log / base(84), -10)
    code, report = verify(capsys, log)
    assert code == 0
    assert report["sum"][NORMAL] == 1
    (log / base(42)).unlink()
    assert verify(capsys, log)[0] == 1
    assert verify(capsys, log / base(63))[0] == 0
    flip(log / base(63))
    assert verify(capsys, log / base(63))[0] == 1


async def lived(seed: int) -> SimDisk:
    """A disk after random writes and their crash, or stop."""
    rng = random.Random(seed)
    disk = SimDisk(random.Random(seed + 1), latency=LATENCY)
    await name_node(disk)
    models = {number: ModelGroup.of(number) for number in range(1, 4)}
    stop = seed % 3 == 0
    for steps in (rng.randint(20, 120), rng.randint(20, 120)):
        await StoreLife(disk, models, rng).run(steps, stop=stop)
        if not stop:
            disk = disk.crash(rng) if seed % 3 == 1 else disk.process_killed()
        for group in models.values():
            group.completed = 0
            group.created = False
            group.history = group.history[-1:]
        models = {number + len(models): ModelGroup.of(number + len(models)) for number in models}
    return disk


@pytest.mark.parametrize("seed", range(24))
def test_no_crash_is_taken_for_damage(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random writes, truncations, installs and deletions, then a power cut, a kill or a stop."""
    code, report = verify(capsys, export(run(lived(seed)), tmp_path))
    told = [row for row in report["files"] if row["verdict"] in {DAMAGED, FOREIGN}]
    assert (code, told) == (0, [])
