"""The commands that write, read, measure and trim, against a real cluster."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streamlog.cli.node.local_cluster import LocalCluster
from tests.fakes.cli_shell import COMMAND, TIMEOUT_S, Shell
from tests.fakes.node_processes import until


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    """One node; every test has topics of its own."""
    directory = tmp_path_factory.mktemp("work")
    cluster = LocalCluster(directory, nodes=1)
    try:
        await cluster.start()
        yield Shell(cluster.bootstrap, directory)
    finally:
        await cluster.stop()


def lines_of(shell: Shell, *arguments: str) -> list[dict[str, Any]]:
    """Objects, a line each."""
    return [json.loads(line) for line in shell.ok(*arguments).splitlines()]


def at_a_terminal(shell: Shell, *arguments: str, typed: bytes = b"") -> tuple[int, str]:
    """Exit code, and all that the terminal shows."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=slave, stdout=slave, stderr=slave, env=shell.environment
    )
    os.close(slave)
    os.write(master, typed)
    shown = b""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        readable, _, _ = select.select([master], [], [], 0.1)
        if readable:
            try:
                shown += os.read(master, 65_536)
            except OSError:
                break  # the other side is closed
        elif process.poll() is not None:
            break
    process.kill()
    os.close(master)
    return process.wait(), shown.decode()


def test_where_records_were_stored(shell: Shell) -> None:
    """--report tells of each record as it is acknowledged, -o json sums up."""
    shell.ok("topic", "create", "told", "-p", "2")
    done = shell.run("produce", "told", "-p", "1", "--report", stdin="a\nb\nc\n")
    assert done.stderr == "3 records are stored\n"
    assert [line.split(" offset ")[0] for line in done.stdout.splitlines()] == [
        f"record {n}: told/1" for n in (1, 2, 3)
    ]
    first = int(done.stdout.split()[4])
    told = shell.run("produce", "told", "-p", "1", "--report", "-o", "json", stdin="d\n")
    (content,) = [json.loads(line) for line in told.stdout.splitlines()]
    stamp_ms = content.pop("timestamp_ms")
    assert content == {"record": 1, "topic": "told", "partition": 1, "offset": first + 3}
    assert abs(stamp_ms - time.time() * 1_000) < 3_600_000
    summed = json.loads(shell.run("produce", "told", "-o", "json", stdin="e\nff\n" * 50).stdout)
    assert (summed["records"], summed["failed"], summed["bytes"]) == (100, 0, 150)
    assert sum(partition["records"] for partition in summed["partitions"]) == 100
    empty = shell.run("produce", "told", "--report", "-o", "json")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert empty.stderr == "0 records are stored\n"


def test_records_that_are_refused_are_reported(shell: Shell) -> None:
    """One of two is too large for the topic: it is told of by its number, and the exit code is
    1."""
    shell.ok("topic", "create", "small", "-c", "max.batch.bytes=1024")
    large = os.urandom(3_000).hex()
    done = shell.run(
        "produce", "small", "--report", "-o", "json", "--compression", "none", stdin=f"{large}\n"
    )
    assert done.returncode == 1
    (content,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert content["record"] == 1
    assert "BATCH_TOO_LARGE" in content["error"]
    assert done.stderr.startswith("error: 1 record not acknowledged; the first error: BATCH_TOO")


def test_every_way_of_giving_a_record(shell: Shell, tmp_path: Path) -> None:
    """Template, time, partition, headers and nulls; what JSON printed, JSON copies."""
    shell.ok("topic", "create", "given", "-p", "3")
    file = tmp_path / "lines"
    file.write_bytes(b"2|1700000000001|k1|red|v1\n1|1700000000002|NULL|blue|6e\xff\n")
    shell.ok(
        *("produce", "given", "--file", str(file), "-f", r"%p|%T|%k|%h{colour}|%v\n"),
        *("--null", "NULL", "-H", "from=test"),
    )
    shell.ok("produce", "given", "-p", "0", "--timestamp", "@2001-01-01T00:00:00Z", stdin="old\n")
    shell.ok("produce", "given", "-p", "0", "-f", "%v{hex}", stdin="00ff0a0d\n")
    records = lines_of(shell, "consume", "given", "--from", "start:end", "-o", "json")
    records.sort(key=lambda record: (record["partition"], record["offset"]))
    told = [(r["partition"], r["key"], r["value"], r.get("value_encoding")) for r in records]
    assert told == [
        (0, None, "old", None),
        (0, None, "AP8KDQ==", "base64"),
        (1, None, "NmX/", "base64"),
        (2, "k1", "v1", None),
    ]
    assert records[0]["timestamp_ms"] == 978_307_200_000
    assert records[3]["timestamp_ms"] == 1_700_000_000_001
    assert records[3]["headers"] == [
        {"name": "colour", "value": "red"},
        {"name": "from", "value": "test"},
    ]

    shell.ok("topic", "create", "copy")
    code, _, errors = shell.sh(
        "streamlog consume given --from start -e -o json | streamlog produce copy -f json"
    )
    assert (code, errors) == (0, "4 records are stored\n")
    copied = lines_of(shell, "consume", "copy", "--from", "start", "-e", "-o", "json")
    places = ("topic", "partition", "offset")

    def content(each: list[dict[str, Any]]) -> list[str]:
        return sorted(
            json.dumps({k: v for k, v in record.items() if k not in places}) for record in each
        )

    assert content(copied) == content(records)


def test_a_line_that_is_no_record(shell: Shell) -> None:
    """Ends the command with its number; what went before it is stored."""
    shell.ok("topic", "create", "broken")
    done = shell.run("produce", "broken", "-f", r"%k\t%v\n", stdin="a\t1\nb\t2\nplain\nc\t3\n")
    assert done.returncode == 1
    assert done.stderr == (
        "error: line 3 is no record: it does not look like '%k\\\\t%v\\\\n'; before it, 2 records"
        " went out\n"
    )
    assert shell.ok("consume", "broken", "--from", "start", "-e") == "1\n2\n"


def test_a_rate_is_kept(shell: Shell) -> None:
    """Fifty records at a hundred a second take half a second, not less."""
    shell.ok("topic", "create", "slow")
    lines = "".join(f"{n}\n" for n in range(50))
    done = shell.run("produce", "slow", "--rate", "100", "-o", "json", stdin=lines)
    assert json.loads(done.stdout)["seconds"] >= 0.38
    stamps = [
        int(line)
        for line in shell.ok("consume", "slow", "--from", "start", "-e", "-f", r"%T\n").splitlines()
    ]
    assert stamps[-1] - stamps[0] >= 300


def test_ranges(shell: Shell) -> None:
    """From and to an offset, a time, the last ones: of several partitions and topics."""
    shell.ok("topic", "create", "range")
    for second in range(10):
        shell.ok("produce", "range", "--timestamp", f"@{1_000_000 + second * 1_000}", stdin="x\n")
    offsets = [
        int(line)
        for line in shell.ok("consume", "range", "--from", "start", "-e", "-f", r"%o\n").split()
    ]
    assert len(offsets) == 10

    def found(place: str, *more: str) -> list[int]:
        arguments = ("consume", "range", "--from", place, "-f", r"%o\n", *more)
        return [int(line) for line in shell.ok(*arguments).split()]

    assert found(f"{offsets[2]}:{offsets[5]}") == offsets[2:5]
    assert found(f"start:{offsets[3]}") == offsets[:3]
    assert found("@1003000:@1006000") == offsets[3:6]
    assert found("@1003000:end") == offsets[3:]
    assert found("-4:end") == offsets[-4:]
    assert found("-4", "-n", "2") == offsets[-4:-2]
    assert found("@-1h:end") == []
    assert found("start:@-1h") == offsets
    assert found("end:end") == []

    shell.ok("topic", "create", "range-2", "-p", "3")
    for partition in range(3):
        shell.ok("produce", "range-2", "-p", str(partition), stdin=f"{partition}\n")
    both = shell.ok(
        *("consume", "range-2", "range", "-p", "0", "--from", "start", "-e", "-f", r"%t %v\n")
    )
    assert sorted(set(both.splitlines())) == ["range x", "range-2 0"]
    two = shell.ok("consume", "range-2", "-p", "0", "-p", "2", "--from", "start:end")
    assert sorted(two.split()) == ["0", "2"]


def test_new_partitions_are_read_too(shell: Shell) -> None:
    """Whoever waits for new records gets those of partitions that are added meanwhile."""
    shell.ok("topic", "create", "grows", "-p", "1")
    consumer = shell.start("consume", "grows", "--from", "start", "-f", r"%p %v\n")
    try:
        assert consumer.stdout is not None
        shell.ok("produce", "grows", stdin="a\n")
        assert consumer.stdout.readline() == b"0 a\n"
        shell.ok("topic", "add-partitions", "grows", "2", "--yes")
        until(
            lambda: shell.run("produce", "grows", "-p", "1", stdin="b\n").returncode == 0,
            "the partition takes records",
        )
        assert consumer.stdout.readline() == b"1 b\n"
    finally:
        consumer.kill()
        consumer.communicate()


def test_a_closed_pipe_is_noticed_while_nothing_comes(shell: Shell) -> None:
    """`consume | head -1` ends although no second record comes."""
    shell.ok("topic", "create", "quiet")
    shell.ok("produce", "quiet", stdin="one\n")
    code, printed, errors = shell.sh("streamlog consume quiet --from start | head -1")
    assert (code, printed, errors) == (141, "one\n", "")


def test_a_report_that_nobody_reads_ends_the_command(shell: Shell) -> None:
    """`produce --report | head -1` does not go on writing unseen."""
    shell.ok("topic", "create", "unread")
    code, printed, errors = shell.sh(
        "seq 3000000 | streamlog produce unread --report | head -1; exit ${PIPESTATUS[1]}"
    )
    assert (code, printed.count("\n"), errors) == (141, 1, "")


def test_arguments_that_are_no_text(shell: Shell) -> None:
    """Bytes of the command line are stored as they are; names are refused in one line."""
    shell.ok("topic", "create", "octets")
    code, _, errors = shell.sh(
        "echo $'v\\xff' | streamlog produce octets -k $'k\\xff' -H $'h=\\xfe'; exit ${PIPESTATUS[1]}"
    )
    assert (code, errors) == (0, "1 record is stored\n")
    line = r"%k{hex} %v{hex} %h{%v{hex}}\n"
    assert shell.ok("consume", "octets", "--from", "start", "-e", "-f", line) == "6bff 76ff fe\n"
    for command in (
        "consume $'\\xff' -e",
        "topic create $'\\xff'",
        "produce octets -H $'\\xff=1'",
        "topic create t -c $'a\\xff=1'",
    ):
        code, printed, errors = shell.sh(f"streamlog {command} < <(echo x)")
        assert code in {1, 2}, command
        assert printed == ""
        assert errors.startswith("error: "), errors
        assert errors.count("\n") == 1, errors


def test_misspelt_topics(shell: Shell) -> None:
    """Each command that takes a topic suggests the nearest name."""
    shell.ok("topic", "create", "customers")
    for line in (
        "consume custmers --from start -e",
        "produce custmers",
        "offsets custmers",
        "topic describe custmers",
        "topic alter custmers --set retention.ms=1000",
        "topic add-partitions custmers 2 --yes",
        "topic trim custmers --before end --yes",
        "topic delete custmers --yes",
        "topic delete custmers --dry-run",
        "bench produce --topic custmers --records 1",
        "bench consume --topic custmers",
        "consume customers custmers --from start -e",
    ):
        words = "there is no topic 'custmers'; did you mean 'customers'?"
        done = shell.told(words, *line.split())
        assert done.returncode == 1, line
        assert words in done.stderr, line
        assert done.stderr.count("\n") == 1


def test_measuring(shell: Shell) -> None:
    """Records are written and counted, latencies are in order, and reading finds them all."""
    result = json.loads(
        shell.ok(
            *("bench", "produce", "--topic", "load", "--create", "2", "--records", "5000"),
            *("--record-bytes", "50", "--acks-latency", "-o", "json"),
        )
    )
    assert (result["records"], result["bytes"]) == (5_000, 250_000)
    assert result["records_per_second"] > 0
    assert 0 < result["sent_bytes"] < 250_000
    latency = result["acks_latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    paced = json.loads(
        shell.ok(
            *("bench", "produce", "--topic", "load", "--rate", "200", "--seconds", "1"),
            *("--compression", "none", "-o", "json"),
        )
    )
    assert 1 <= paced["records"] <= 221
    assert paced["seconds"] >= 1
    read = json.loads(shell.ok("bench", "consume", "--topic", "load", "-o", "json"))
    assert read["records"] == 5_000 + paced["records"]
    assert 0 < read["first_record_ms"] <= read["seconds"] * 1_000 + 1
    assert (
        json.loads(
            shell.ok("bench", "consume", "--topic", "load", "--records", "77", "-o", "json")
        )["records"]
        == 77
    )
    table = shell.ok("bench", "produce", "--topic", "load", "-n", "10", "--acks-latency")
    assert [line.split()[0] for line in table.splitlines()] == [
        *("measure", "records", "seconds", "records/s", "bytes", "bytes/s", "sent,"),
        *("ack", "ack", "ack", "ack"),
    ]
    shell.ok("topic", "create", "empty")
    assert "holds no records" in shell.ok("bench", "consume", "--topic", "empty")


def test_trimming(shell: Shell) -> None:
    """A preview, a refusal without --yes, and then the records are gone."""
    shell.ok("topic", "create", "old", "-p", "2")
    for partition in (0, 1):
        for _ in range(3):  # a batch each
            shell.ok("produce", "old", "-p", str(partition), stdin="x\ny\n")

    def starts() -> list[int]:
        return [row["start"] for row in json.loads(shell.ok("offsets", "old", "-o", "json"))]

    before = starts()
    preview = shell.ok("topic", "trim", "old", "--before", "end", "--dry-run")
    assert preview.splitlines()[0].split() == ["partition", "start", "new", "start", "let", "go"]
    assert "would let go of up to" in preview
    refused = shell.run("topic", "trim", "old", "--before", "end", stdin="y\n")
    assert refused.returncode == 2
    assert "this needs --yes" in refused.stderr
    assert starts() == before

    nothing = shell.ok("topic", "trim", "old", "--before", "start", "--yes")
    assert "nothing is before that" in nothing
    one = json.loads(
        shell.ok("topic", "trim", "old", "--before", "end", "-p", "1", "--yes", "-o", "json")
    )
    assert [row["partition"] for row in one["partitions"]] == [1]
    assert one["let_go"] == one["partitions"][0]["new_start"] - one["partitions"][0]["start"] > 0
    assert starts()[0] == before[0]
    assert starts()[1] == one["partitions"][0]["new_start"]
    assert shell.ok("consume", "old", "-p", "1", "--from", "start", "-e") == ""
    assert len(shell.ok("consume", "old", "--from", "start", "-e").splitlines()) == 6
    shell.ok("topic", "trim", "old", "--before", "@2001-01-01", "--yes")
    assert len(shell.ok("consume", "old", "--from", "start", "-e").splitlines()) == 6
    beyond = shell.run("topic", "trim", "old", "--before", "10000", "--yes")
    assert beyond.returncode == 1
    assert f"offset 10000 is out of range: old/0 has {starts()[0]} to " in beyond.stderr
    assert len(shell.ok("consume", "old", "--from", "start", "-e").splitlines()) == 6
    wrong = shell.run("topic", "trim", "old", "--before", "end", "-p", "5", "--yes")
    assert (wrong.returncode, "old has partitions 0 to 1, not 5" in wrong.stderr) == (2, True)
    code, shown = at_a_terminal(shell, "topic", "trim", "old", "--before", "end", typed=b"n\n")
    assert code == 1
    assert "let go of up to" in shown
    assert "nothing was done" in shown
    code, shown = at_a_terminal(shell, "topic", "trim", "old", "--before", "end", typed=b"y\n")
    assert (code, "let go of" in shown) == (0, True)
    assert shell.ok("consume", "old", "--from", "start", "-e") == ""


def test_records_that_go_before_they_are_read(shell: Shell) -> None:
    """Somebody who follows a topic and is slower than its trimming goes on, and is told; what a
    given range lacks is an error."""
    shell.ok(
        *("bench", "produce", "--topic", "gone", "--create", "1", "--compression", "none"),
        *("--record-bytes", "1000", "--records", "60000"),
    )
    follower = shell.start("consume", "gone", "--from", "start")
    reader = shell.start("consume", "gone", "--from", "start:end")
    try:
        for process in (follower, reader):
            assert process.stdout is not None
            assert len(process.stdout.readline()) == 1_001
        shell.ok("topic", "trim", "gone", "--before", "end", "--yes")
        shell.ok("produce", "gone", stdin="last\n")
        assert follower.stdout is not None
        lines = 1
        while follower.stdout.readline() != b"last\n":
            lines += 1
        assert lines < 60_000
        follower.terminate()
        told = follower.communicate(timeout=TIMEOUT_S)[1].decode()
        assert told.startswith("note: gone/0 begins at offset ")
        assert told.count("\n") == 1
        errors = reader.communicate(timeout=TIMEOUT_S)[1].decode()
        assert reader.returncode == 1
        assert errors.startswith("error: OFFSET_OUT_OF_RANGE")
    finally:
        for process in (follower, reader):
            process.kill()
            process.communicate()


def test_sizes(shell: Shell) -> None:
    """What is stored is told per topic, per replica and per node, and they agree."""
    shell.ok("topic", "create", "big", "-p", "2")
    shell.ok("produce", "big", "--compression", "none", stdin=f"{os.urandom(500).hex()}\n" * 300)

    def described() -> dict[str, Any]:
        content: dict[str, Any] = json.loads(shell.ok("topic", "describe", "big", "-o", "json"))
        return content

    def listed() -> dict[str, Any]:
        rows = json.loads(shell.ok("topic", "list", "--size", "-o", "json"))
        return next(row for row in rows if row["topic"] == "big")

    def of_the_node() -> dict[str, Any]:
        (row,) = json.loads(shell.ok("cluster", "nodes", "--size", "-o", "json"))
        return dict(row)

    def sized(look: Callable[[], dict[str, Any]], least_bytes: int) -> dict[str, Any]:
        """What it tells, once there is so much. Who answers too late is left out of sizes."""
        told: list[dict[str, Any]] = []

        def is_sized() -> bool:
            told.append(look())
            return (told[-1]["size_bytes"] or 0) >= least_bytes

        until(is_sized, "the records are in files, and the node says so")
        return told[-1]

    content = sized(described, 300_000)
    size_bytes = content["size_bytes"]
    assert [replica["partition"] for replica in content["replicas"]] == [0, 1]
    assert {replica["role"] for replica in content["replicas"]} == {"leader"}
    assert size_bytes == sum(r["size_bytes"] for r in content["replicas"])
    assert size_bytes == sum(p["size_bytes"] for p in content["partitions"])
    in_list = sized(listed, size_bytes)
    assert in_list["size_bytes"] == size_bytes
    assert in_list["largest_replica_bytes"] == max(r["size_bytes"] for r in content["replicas"])
    node = sized(of_the_node, size_bytes)
    assert node["disk_free_bytes"] > 0
    until(
        lambda: "KiB on disk, all replicas together" in shell.ok("topic", "describe", "big"),
        "the size is told to people",
    )
    header = shell.ok("cluster", "nodes", "--size").splitlines()[0]
    assert header.split()[-4:] == ["replicas", "size", "disk", "free"]
    assert "size" in shell.ok("topic", "list", "--size").splitlines()[0]


def test_profiles_reach_the_cluster(shell: Shell) -> None:
    """A name is enough; the variable goes before it and says so."""
    shell.ok("topic", "create", "named")
    shell.ok("profile", "create", "here", "-b", shell.bootstrap)
    shell.ok("profile", "create", "away", "-b", "127.0.0.1:1")
    address = shell.environment.pop("STREAMLOG_BOOTSTRAP")
    try:
        assert "named" in shell.ok("topic", "list")
        assert "named" in shell.ok("topic", "list", "--profile", "here")
        lost = shell.run("topic", "list", "--profile", "away")
        assert "from the profile 'away' (--profile)" in lost.stderr
    finally:
        shell.environment["STREAMLOG_BOOTSTRAP"] = address
    noted = shell.run("topic", "list", "--profile", "away")
    assert noted.returncode == 0
    assert noted.stderr == "note: STREAMLOG_BOOTSTRAP goes before --profile away\n"


def completed(shell: Shell, words: str, **environment: str) -> list[str]:
    """What the shell would offer for the last word, to somebody who has a minute to wait for it."""
    patient = "from streamlog.cli import completion, main; completion.CLUSTER_TIMEOUT_S = 60"
    done = subprocess.run(
        [*COMMAND[:1], "-c", f"{patient}; main.main()"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={
            **shell.environment,
            **environment,
            "_STREAMLOG_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_completion(shell: Shell) -> None:
    """Commands, topics, profiles and settings; nothing at all from a cluster that is not there."""
    for name in ("tab-one", "tab-two"):
        shell.ok("topic", "create", name)
    assert completed(shell, "streamlog prod") == ["produce"]
    assert completed(shell, "streamlog consume tab-") == ["tab-one", "tab-two"]
    assert completed(shell, "streamlog consume tab-one tab-") == ["tab-two"]
    assert completed(shell, "streamlog topic describe tab-t") == ["tab-two"]
    assert completed(shell, "streamlog bench consume --topic tab-o") == ["tab-one"]
    assert completed(shell, "streamlog topic alter x --set retention.m") == ["retention.ms="]
    absent = {"STREAMLOG_BOOTSTRAP": "127.0.0.1:1"}
    assert completed(shell, "streamlog consume tab-", **absent) == []
    option = f"streamlog consume -b {shell.bootstrap} tab-o"
    assert completed(shell, option, **absent) == ["tab-one"]
    assert completed(shell, "streamlog consume tab-", STREAMLOG_BOOTSTRAP="nonsense") == []


def test_what_a_terminal_is_told(shell: Shell) -> None:
    """Hints where somebody would wait in vain, the progress of a long command, and rates."""
    shell.ok("topic", "create", "typed")
    code, shown = at_a_terminal(shell, "produce", "typed", typed=b"one\ntwo\n\x04")
    assert code == 0
    assert "each line becomes a record; Ctrl-D ends the input" in shown
    assert "2 records are stored: 6 B in" in shown
    code, shown = at_a_terminal(shell, "consume", "typed", "--exit")
    assert (code, "no records there" in shown) == (0, True)
    code, shown = at_a_terminal(shell, "bench", "produce", "-t", "typed", "--seconds", "2")
    assert code == 0
    assert " records/s" in shown.partition("measure")[0]
    assert "measure" in shown


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("consume typed -f %z", 2, "%z is unknown; known are %t topic, %p partition"),
        ("consume typed -f %v -o json", 2, "--format is for -o text, not for -o json"),
        ("consume typed --from 9:3", 2, "ends before it begins"),
        ("consume", 2, "Missing argument 'TOPIC...'"),
        ("produce typed -f %z", 2, "%z is unknown; known are %k key"),
        ("produce typed -f %v -k x", 2, "--key and --format exclude each other"),
        ("produce typed --rate 0", 2, "'0' is not a whole number, 1 to 10000000"),
        ("produce typed --timestamp noon", 2, "--timestamp 'noon' is no time"),
        ("produce typed --key-separator=", 2, "--key-separator is empty"),
        ("bench produce", 2, "Missing option '--topic'"),
        ("bench produce -t typed --record-bytes 0", 2, "'0' is not a whole number, 1 to 1000000"),
        ("topic trim typed", 2, "Missing option '--before'"),
        ("topic trim typed --before -5", 2, "--before '-5' is none of start, end"),
        ("topic list --profile none", 0, ""),
    ],
)
def test_wrong_input_of_these_commands(shell: Shell, line: str, code: int, words: str) -> None:
    """One line, and what is allowed."""
    done = shell.run(*line.split(), stdin="x\n")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
