"""Each program by itself: built, short, agreed with the vectors, on the plain path, replaying."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.clients import ROOT, Program, ProgramFailed, run
from contract.toolchains import LANGUAGES
from contract.vectors import FILES, FOLDER
from tests.clients.passages import Gate, Passages
from tests.clients.running import (
    FIRST_MS,
    NOBODY,
    Cluster,
    Line,
    Rates,
    content,
    missing_numbers,
    written_record,
)

LINES_MAX = 400
PLAIN_RECORDS = 2_000
CUT_RECORDS = 20_000
"""At least 100 bytes each, so more than either gate lets through before it is shut."""
UP_BYTES = 600_000
DOWN_BYTES = 1_200_000
"""More than the results of CUT_RECORDS take."""
REPLAYED = 3_000
SMALL = 200
RATE_RECORDS = 100_000
SOURCES = {".py", ".go", ".java", ".ts", ".js", ".rs", ".cpp", ".h"}


def test_every_file_is_short() -> None:
    """Below 400 lines, so that it can be read."""
    for language in filter(lambda each: each.written, LANGUAGES):
        sources = [
            path
            for path in language.folder.rglob("*")
            if path.suffix in SOURCES and "node_modules" not in path.parts
        ]
        assert sources
        for path in sources:
            lines = len(path.read_text().splitlines())
            assert lines < LINES_MAX, f"{language.title}: {path.name} has {lines} lines"


def test_it_agrees_with_the_vectors(program: Path) -> None:
    """Every vector of every file; only the trailer of failed calls is of no use to some."""
    lines = run(program, "vectors", data=FOLDER).lines
    checked = {line["file"]: line["checked"] for line in lines}
    expected = {
        name: len(json.loads((FOLDER / name).read_text())["vectors"])
        for name in FILES
        if name in checked or name != "statuses.json"
    }
    assert checked == expected


def test_a_vector_that_is_wrong_is_noticed(program: Path, tmp_path: Path) -> None:
    """With one digit of a checksum changed the program ends with 1: it does look."""
    for name in FILES:
        (tmp_path / name).write_text((FOLDER / name).read_text())
    batches = json.loads((FOLDER / "batches.json").read_text())
    batches["vectors"][0]["payload_crc32c"] ^= 1
    (tmp_path / "batches.json").write_text(json.dumps(batches))
    with pytest.raises(ProgramFailed, match="ended with code"):
        run(program, "vectors", data=tmp_path)


def test_the_plain_path(program: Path, cluster: Cluster, rates: Rates) -> None:
    """What it publishes it reads, as it was, each record once unless it says it sent it again."""
    name = program.parent.name
    topic = f"plain-{name}"
    ran = run(
        program, "plain", bootstrap=cluster.bootstrap, topic=topic, name=name, records=PLAIN_RECORDS
    )
    result = ran.lines[-1]
    found = list(map(content, ran.records()))
    assert missing_numbers(found, name, PLAIN_RECORDS, again=result["resent"]) == []
    assert (result["records"], result["read"]) == (PLAIN_RECORDS, len(found))
    assert len(set(found)) == PLAIN_RECORDS
    rates.add(name, "publish", result["publish_per_second"])
    rates.add(name, "subscribe", result["subscribe_per_second"])


@contextmanager
def _through(passages: Passages, program: Path, topic: str) -> Iterator[Program]:
    """Runs `plain`; all that it read is as it should be when the block is left."""
    name = program.parent.name
    with Program(
        program,
        "plain",
        bootstrap=f"{NOBODY},{passages.bootstrap}",
        topic=topic,
        name=name,
        records=CUT_RECORDS,
    ) as running:
        yield running
    result, records = running.lines[-1], running.records()
    assert (result["records"], result["read"]) == (CUT_RECORDS, len(records))
    found = list(map(content, records))
    assert missing_numbers(found, name, CUT_RECORDS, again=result["resent"]) == []
    assert len(set(found)) == CUT_RECORDS
    for partition in {record["partition"] for record in records}:
        offsets = [r["offset"] for r in records if r["partition"] == partition]
        assert offsets == sorted(set(offsets))


@contextmanager
def _killed(cluster: Cluster, gate: Gate) -> Iterator[None]:
    """The node at whose connection the gate holds something back is dead within the block."""
    node = gate.await_held()
    cluster.kill(node)
    try:
        gate.open()
        yield
    finally:
        cluster.restart(node)


def test_the_plain_path_publishes_through_a_kill(program: Path, cluster: Cluster) -> None:
    """Its node is killed in the middle, for the gate lets so little through that it can not be done
    before. It goes on at another; all that it said is stored is read, and nothing is there twice
    but what it sent again."""
    with Passages(cluster.nodes) as passages:
        passages.up.shut_after(UP_BYTES)
        with _through(passages, program, f"published-{program.parent.name}") as running:
            running.await_line("stored", at_least=1)
            with _killed(cluster, passages.up):
                running.finish()


def test_the_plain_path_subscribes_through_a_kill(program: Path, cluster: Cluster) -> None:
    """The same in the middle of reading: it reads on behind the last record of each partition."""
    with Passages(cluster.nodes) as passages:
        passages.down.shut_after(DOWN_BYTES)
        with _through(passages, program, f"subscribed-{program.parent.name}") as running:
            running.await_line("offset")
            with _killed(cluster, passages.down):
                running.finish()


def test_replay(program: Path, cluster: Cluster) -> None:
    """From an offset: that record and all behind it. From a time: all that are not older."""
    name = program.parent.name
    topic = f"replay-{name}"
    run(
        program,
        "produce",
        bootstrap=cluster.bootstrap,
        topic=topic,
        name=name,
        records=REPLAYED,
        batch=100,
        pause_ms=0,
    )
    whole = run(program, "consume", bootstrap=cluster.bootstrap, topic=topic, records=0, print=1)
    assert missing_numbers(map(content, whole.records()), name, REPLAYED) == []
    first = sorted(r["offset"] for r in whole.records() if r["partition"] == 1)
    middle = first[len(first) // 2]
    ran = run(
        program, "replay", bootstrap=cluster.bootstrap, topic=topic, partition=1, offset=middle
    )
    assert [r["offset"] for r in ran.records()] == [each for each in first if each >= middle]
    time_ms = FIRST_MS + REPLAYED // 2 + 7
    ran = run(program, "replay", bootstrap=cluster.bootstrap, topic=topic, time_ms=time_ms)
    found = [content(record) for record in ran.records() if record["timestamp_ms"] >= time_ms]
    expected = [content(written_record(name, n)) for n in range(REPLAYED // 2 + 7, REPLAYED)]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    starts: dict[int, Line] = {}
    for record in ran.records():
        starts.setdefault(record["partition"], record)
    assert all(record["timestamp_ms"] >= time_ms for record in starts.values())


def test_small_batches(program: Path, cluster: Cluster) -> None:
    """Batches of one record, some of two bytes: nodes take them, and they are read."""
    name = program.parent.name
    flags = {"bootstrap": cluster.bootstrap, "topic": f"small-{name}"}
    run(program, "produce", **flags, name=name, records=SMALL, batch=1, pause_ms=0)
    ran = run(program, "consume", **flags, records=0, print=1)
    assert missing_numbers(map(content, ran.records()), name, SMALL) == []


def test_rates(program: Path, cluster: Cluster, rates: Rates) -> None:
    """Nothing is killed and nothing printed: the figures of the table."""
    name = program.parent.name
    topic = f"rates-{name}"
    flags = {"bootstrap": cluster.bootstrap, "topic": topic}
    ran = run(program, "produce", **flags, name=name, records=RATE_RECORDS, batch=500, pause_ms=0)
    assert ran.lines[-1]["records"] == RATE_RECORDS
    rates.add(name, "produce", ran.lines[-1]["per_second"])
    ran = run(program, "consume", **flags, records=0, print=0)
    assert ran.lines[-1]["records"] == RATE_RECORDS
    rates.add(name, "consume", ran.lines[-1]["per_second"])


def test_every_language_is_named() -> None:
    """The README of the programs has each that is written."""
    page = (ROOT / "examples" / "clients" / "README.md").read_text()
    for language in filter(lambda each: each.written, LANGUAGES):
        assert f"[{language.name}]({language.name})" in page, language.title
