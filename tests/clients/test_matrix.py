"""Every language reads what every other wrote, while leaders are killed.

One topic. A consumer of each language reads it from the beginning; then each language writes its
part, and in the middle of each the leader of a partition is killed. So each consumer lives through
as many kills as there are languages, and each producer through one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contract.clients import Program, ProgramFailed
from contract.toolchains import LANGUAGES
from tests.clients.running import Cluster, Line, content, missing_numbers

TOPIC = "matrix"
PARTITIONS = 3
RECORDS = 5_000
PAUSE_MS = 40
BATCH = 100
NAMES = [language.name for language in LANGUAGES]


@dataclass
class Matrix:
    """What became of it, by language."""

    written: dict[str, Line | ProgramFailed] = field(default_factory=dict)
    read: dict[str, list[Line]] = field(default_factory=dict)
    ended: dict[str, Line | ProgramFailed] = field(default_factory=dict)
    """Consumers."""


@pytest.fixture(scope="module")
def matrix(programs: Mapping[str, Path], cluster: Cluster) -> Matrix:
    """Run it once."""
    cluster.make_topic(TOPIC, PARTITIONS)
    result = Matrix()
    with ExitStack() as stack:
        consumers = {
            name: stack.enter_context(
                Program(
                    program,
                    "consume",
                    bootstrap=cluster.bootstrap,
                    topic=TOPIC,
                    records=RECORDS * len(programs),
                    print=1,
                )
            )
            for name, program in programs.items()
        }
        for number, (name, program) in enumerate(programs.items()):
            result.written[name] = _write(cluster, name, program, number % PARTITIONS)
        for name, consumer in consumers.items():
            try:
                result.ended[name] = consumer.finish()
            except ProgramFailed as error:
                result.ended[name] = error
            result.read[name] = consumer.records()
    return result


def _write(cluster: Cluster, name: str, program: Path, partition: int) -> Line | ProgramFailed:
    killed = None
    try:
        with Program(
            program,
            "produce",
            bootstrap=cluster.bootstrap,
            topic=TOPIC,
            name=name,
            records=RECORDS,
            batch=BATCH,
            pause_ms=PAUSE_MS,
        ) as producer:
            producer.await_line("stored", at_least=RECORDS // 5)
            killed = cluster.kill_leader(TOPIC, partition)
            return producer.finish()
    except ProgramFailed as error:
        return error
    finally:
        if killed is not None:
            cluster.restart(killed)


def _ran(matrix: Matrix, *names: str) -> None:
    for name in names:
        if name not in matrix.read:
            pytest.skip(f"{name} was not built")


@pytest.mark.parametrize("writer", NAMES)
def test_a_producer_lives_through_a_kill(matrix: Matrix, writer: str) -> None:
    """It ends well, and says that all is stored."""
    _ran(matrix, writer)
    result = matrix.written[writer]
    if isinstance(result, ProgramFailed):
        raise result
    assert result["records"] == RECORDS


@pytest.mark.parametrize("reader", NAMES)
def test_a_consumer_lives_through_all_kills(matrix: Matrix, reader: str) -> None:
    """It ends well, in each partition it got ascending offsets, and keys were where they belong."""
    _ran(matrix, reader)
    result = matrix.ended[reader]
    if isinstance(result, ProgramFailed):
        raise result
    assert result["records"] == RECORDS * len(matrix.read)
    for partition in range(PARTITIONS):
        offsets = [r["offset"] for r in matrix.read[reader] if r["partition"] == partition]
        assert offsets == sorted(set(offsets))
    for record in matrix.read[reader]:
        if record["key"] is not None:
            expected = zlib.crc32(bytes.fromhex(record["key"])) % PARTITIONS
            assert record["partition"] == expected


@pytest.mark.parametrize("writer", NAMES)
@pytest.mark.parametrize("reader", NAMES)
def test_one_reads_what_the_other_wrote(matrix: Matrix, reader: str, writer: str) -> None:
    """Each record once, byte for byte: key, value, headers, time; in order within a key."""
    _ran(matrix, reader, writer)
    # A null or an empty value does not tell who wrote it: all records of the number are alike.
    found = [r for r in matrix.read[reader] if r["value"]]
    prefix = f"{writer}:".encode().hex()
    own = [record for record in found if record["value"].startswith(prefix)]
    numbers = missing_numbers(map(content, own), writer, RECORDS)
    assert [n for n in numbers if n % 100 not in {17, 18}] == []
    assert len(own) == RECORDS * 98 // 100
    last: dict[tuple[str, int], int] = {}
    for record in own:
        if record["key"] is not None:
            place = record["key"], record["partition"]
            assert last.get(place, -1) < record["timestamp_ms"]
            last[place] = record["timestamp_ms"]


@pytest.mark.parametrize("reader", NAMES)
def test_nulls_and_empties_stay_what_they_are(matrix: Matrix, reader: str) -> None:
    """As many as were written, by all writers together."""
    _ran(matrix, reader)
    values = [record["value"] for record in matrix.read[reader]]
    writers = len(matrix.read)
    assert values.count(None) == values.count("") == writers * RECORDS // 100
    keys = [record["key"] for record in matrix.read[reader]]
    assert keys.count(None) == writers * RECORDS // 10
