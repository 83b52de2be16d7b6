"""What a real node says to damage of its stopped data directory: never silence, never a traceback.

Each case damages a copy of one directory. Either the node refuses to start, with what is wrong and
what to do in its last line, or it serves what is whole and tells of the rest.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamlog.cli.failure import CommandFailed
from streamlog.cli.main import build
from streamlog.client.sync import Admin, Producer
from tests.fakes.node_processes import NodeProcess, free_addresses, until
from tests.fakes.patience import PATIENT

RECORDS = 60
INSTEAD = "on an empty data directory and under a node id that was never used"
Damage = Callable[[Path, Path], object]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, Path, Path]]:
    """A node that was killed with records in its journal only; a copy of its directory, and
    another node's."""
    base = tmp_path_factory.mktemp("nodes")
    made = []
    for name in ("own", "foreign"):
        node = NodeProcess(base / name, 1, free_addresses(1), "--checkpoint-interval-ms=600000")
        node.directory.parent.mkdir()
        made.append(node)
        try:
            node.start()
            node.until_healthy()
            with Admin(node.address, policy=PATIENT) as admin, Producer(node.address) as producer:
                admin.create_topic("t", partitions=2, config={"segment.bytes": "16384"})
                for number in range(RECORDS):
                    producer.send("t", random.Random(number).randbytes(1_000), partition=0)
            if name == "foreign":
                assert node.stop() == 0
        finally:
            node.kill()
    kept = base / "kept"
    shutil.copytree(made[0].directory, kept)
    yield made[0], kept, made[1].directory
    made[0].kill()


def flip(*paths: Path) -> None:
    for path in paths:
        _flip(path)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def remove(*directories: Path) -> None:
    for directory in directories:
        shutil.rmtree(directory)


def unlink(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink()


def journals(directory: Path) -> list[Path]:
    return sorted((directory / "journal").iterdir())


def in_journals(directory: Path, change: Callable[[Path], object]) -> None:
    for path in journals(directory):
        change(path)


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("groups/0000000000000001/*/*.segment"))


def swap(directory: Path, other: Path, name: str) -> None:
    """The other node's in the place of its own."""
    shutil.rmtree(directory / name)
    shutil.copytree(other / name, directory / name)


def zero_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4_096))


REFUSED: dict[str, tuple[Damage, str]] = {
    "journal gone": (lambda d, _: shutil.rmtree(d / "journal"), "is missing"),
    "journal emptied": (lambda d, _: in_journals(d, lambda p: os.truncate(p, 0)), "header of"),
    "journal cut": (lambda d, _: in_journals(d, lambda p: os.truncate(p, 8_192)), "has 8192 bytes"),
    "journal without headers": (lambda d, _: in_journals(d, zero_header), "header of"),
    "journal of another node": (lambda d, o: swap(d, o, "journal"), "journal/"),
    "checkpoints damaged": (
        lambda d, _: flip(*(d / "checkpoint").iterdir()),
        "no checkpoint can be read",
    ),
    "checkpoints of another node": (lambda d, o: swap(d, o, "checkpoint"), "is of directory"),
    "journal and checkpoints gone": (
        lambda d, _: remove(d / "journal", d / "checkpoint"),
        "neither a checkpoint",
    ),
    "state gone": (lambda d, _: (d / "cluster.state").unlink(), "cluster.state is missing"),
    "state damaged": (lambda d, _: flip(d / "cluster.state"), "checksum"),
    "state emptied": (lambda d, _: os.truncate(d / "cluster.state", 0), "0 bytes"),
    "state of another cluster": (
        lambda d, o: shutil.copy(o / "cluster.state", d / "cluster.state"),
        "cluster.state is of cluster",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses_to_start(stopped: tuple[NodeProcess, Path, Path], case: str) -> None:
    """Exit code 1; the last line names the file and says what to do. Nothing is repaired by
    guessing: with the file put back the node starts, with all it acknowledged."""
    node, kept, foreign = stopped
    damage, told = REFUSED[case]
    shutil.rmtree(node.directory)
    shutil.copytree(kept, node.directory)
    damage(node.directory, foreign)
    done = node.run_to_its_end()
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert told in last
    assert INSTEAD in last


IDENTITIES: dict[str, tuple[Damage, str]] = {
    "gone": (lambda d, _: (d / "node.identity").unlink(), "is not empty: it holds"),
    "damaged": (lambda d, _: flip(d / "node.identity"), "the checksum does not match"),
    "of another node": (
        lambda d, o: shutil.copy(o / "node.identity", d / "node.identity"),
        "is of directory",
    ),
}


@pytest.mark.parametrize("case", IDENTITIES)
def test_an_identity_that_is_not_the_directorys(
    stopped: tuple[NodeProcess, Path, Path], case: str
) -> None:
    """Refused, and nothing is formatted over it."""
    node, kept, foreign = stopped
    damage, told = IDENTITIES[case]
    shutil.rmtree(node.directory)
    shutil.copytree(kept, node.directory)
    damage(node.directory, foreign)
    done = node.run_to_its_end()
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert told in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "case", ["nothing", *REFUSED, *(f"identity {name}" for name in IDENTITIES)]
)
def test_verify_tells_before_the_start(
    stopped: tuple[NodeProcess, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    """What a node refuses to start with, `streamlog log verify` calls damage; what a kill leaves it
    does not. It is not fooled by a directory that looks like another node's."""
    _, kept, foreign = stopped
    directory = tmp_path / "copy"
    shutil.copytree(kept, directory)
    cases = {**REFUSED, **{f"identity {name}": each for name, each in IDENTITIES.items()}}
    if case in cases:
        cases[case][0](directory, foreign)
    code = 0
    try:
        build()(["log", "verify", str(directory), "-o", "json"], standalone_mode=False)
    except CommandFailed as failure:
        code = failure.exit_code
    report = json.loads(capsys.readouterr().out)
    damaged = [row for row in report["files"] if row["verdict"] == "damaged"]
    assert (code, bool(damaged)) == ((1, True) if case in cases else (0, False)), report["sum"]
    assert all(row["next"] for row in damaged)


def test_verify_leaves_a_running_node_alone(
    stopped: tuple[NodeProcess, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that the node must be stopped first; then, after a stop in order, all is well."""
    node, kept, _ = stopped
    shutil.rmtree(node.directory)
    shutil.copytree(kept, node.directory)
    node.start()
    try:
        node.until_healthy()
        with pytest.raises(CommandFailed, match=f"process {node.process.pid}"):  # type: ignore[union-attr]
            build()(["log", "verify", str(node.directory)], standalone_mode=False)
        assert node.stop() == 0
    finally:
        node.kill()
    build()(["log", "verify", str(node.directory), "-o", "json"], standalone_mode=False)
    verdicts = json.loads(capsys.readouterr().out)["sum"].keys()
    assert verdicts <= {"ok", "normal after a crash", "rebuilt at next start"}


SERVED: dict[str, tuple[bool, Damage, str]] = {
    "nothing": (False, lambda d, _: None, ""),
    "logs that the journal holds": (False, lambda d, _: shutil.rmtree(d / "groups"), ""),
    "foreign files": (
        True,
        lambda d, _: [
            (d / place / "holiday.jpg").write_bytes(b"jpg")
            for place in (".", "journal", "checkpoint", "groups", segments(d)[0].parent)
        ],
        "directory_unknown",
    ),
    "indexes of another node": (
        True,
        lambda d, o: [
            shutil.copy(next(o.glob(f"groups/0000000000000001/*/*{path.suffix}")), path)
            for path in d.glob("groups/0000000000000001/*/*")
            if path.suffix != ".segment"
        ],
        "",
    ),
    "indexes gone": (
        True,
        lambda d, _: unlink(
            path for path in d.glob("groups/0000000000000001/*/*") if path.suffix != ".segment"
        ),
        "",
    ),
}


@pytest.mark.parametrize("case", SERVED)
def test_it_serves_all_that_was_acknowledged(
    stopped: tuple[NodeProcess, Path, Path], case: str
) -> None:
    """What can be made again is, what is foreign is left alone, and told where it may matter.
    `clean`: after a start and a clean stop, when the files hold all."""
    node, kept, foreign = stopped
    clean, damage, event = SERVED[case]
    shutil.rmtree(node.directory)
    shutil.copytree(kept, node.directory)
    if clean:
        node.start()
        node.until_healthy()
        assert node.stop() == 0
    damage(node.directory, foreign)
    node.log.write_text("")
    node.start()
    try:
        node.until_healthy()
        with Admin(node.address, policy=PATIENT) as admin:
            until(lambda: _end(admin) >= RECORDS, "partition 0 has a leader and its records")
        node.until_told("store_recovered", *([event] if event else []))
    finally:
        node.kill()


@pytest.mark.parametrize("case", ["gone", "of another node"])
def test_a_segment_that_is_not_the_logs_own(
    stopped: tuple[NodeProcess, Path, Path], case: str
) -> None:
    """After a clean stop the files are all there is of old records: the replica does not vote, and
    says why; a lone one has nobody to be copied from, and is not led."""
    node, kept, foreign = stopped
    shutil.rmtree(node.directory)
    shutil.copytree(kept, node.directory)
    node.start()
    node.until_healthy()
    assert node.stop() == 0
    first = segments(node.directory)[0]
    first.unlink()
    if case != "gone":
        shutil.copy(segments(foreign)[0], first)
    node.log.write_text("")
    node.start()
    try:
        node.until_healthy()
        with Admin(node.address, policy=PATIENT) as admin:

            def is_told() -> bool:
                _end(admin)
                return bool(damage_told(node))

            until(is_told, "the damage is told of")
        damaged = damage_told(node)
        assert {entry["group"] for entry in damaged} == {1}
        assert all(entry["reason"] for entry in damaged)
        assert "Traceback" not in node.log.read_text()
    finally:
        node.kill()


def damage_told(node: NodeProcess) -> list[dict[str, Any]]:
    return [entry for entry in node.logged() if "_damaged" in entry["event"]]


def _end(admin: Admin) -> int:
    """The end of partition 0 as the node itself has it, 0 while it is not led."""
    replicas = admin.describe_node(admin_address(admin)).replicas
    return max(
        (r.end_offset for r in replicas if r.partition == 0 and r.role == "leader"), default=0
    )


def admin_address(admin: Admin) -> str:
    """Of the one node."""
    return admin.describe_cluster().nodes[0].address
