"""The commands as a newcomer meets them, right and wrong, against a real cluster of three."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.cli_shell import TIMEOUT_S, Shell, dev
from tests.fakes.node_processes import free_addresses, until

ENDLESSLY_PATIENT = (
    "from streamlog.cli import main, remote; remote.PATIENCE_MS = 3_600_000; main.main()"
)
"""The command line, as if it asked a cluster that does not answer again for an hour."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One cluster for all tests that leave it as it is."""
    with dev(tmp_path_factory.mktemp("dev")) as shell:
        yield shell


def test_the_life_of_a_topic(shell: Shell) -> None:
    """Create, list, describe, alter, extend, delete; a dry run changes nothing."""
    assert "would create" in shell.ok("topic", "create", "life", "--dry-run")
    assert "life" not in shell.ok("topic", "list")
    created = shell.ok("topic", "create", "life", "-p", "2", "-c", "retention.ms=-1")
    assert created == "created life: 2 partitions, 3 replicas\n"
    assert shell.ok("topic", "list").splitlines()[0].split() == [
        *("topic", "partitions", "replicas", "id"),
    ]
    listed = {row["topic"]: row for row in json.loads(shell.ok("topic", "list", "-o", "json"))}
    assert (listed["life"]["partitions"], listed["life"]["replicas"]) == (2, 3)
    settings = shell.ok("topic", "describe", "life").rpartition("\n\n")[2].splitlines()
    assert settings[0].split() == ["setting", "value", "unit", "from"]
    assert ["retention.ms", "-1", "ms", "topic"] in [line.split() for line in settings]
    assert ["cleanup.policy", "delete", "default"] in [line.split() for line in settings]

    dry = shell.ok("topic", "alter", "life", "--set", "segment.ms=5000", "--dry-run")
    assert "would differ" in dry
    assert "segment.ms = 5000" in dry
    altered = shell.ok(
        "topic", "alter", "life", "--set", "segment.ms=6000", "--unset", "retention.ms"
    )
    assert "segment.ms = 6000" in altered
    described = json.loads(shell.ok("topic", "describe", "life", "-o", "json"))
    changed = {entry["setting"] for entry in described["settings"] if entry["from"] == "topic"}
    assert changed == {"segment.ms"}

    assert "has 5 partitions" in shell.ok("topic", "add-partitions", "life", "5", "--yes")
    until(
        lambda: (
            len(json.loads(shell.ok("topic", "describe", "life", "-o", "json"))["partitions"]) == 5
        ),
        "the partitions are there",
    )
    assert shell.ok("topic", "delete", "life", "--dry-run") == "would delete life: 5 partitions\n"
    refused = shell.run("topic", "delete", "life", stdin="y\n")
    assert refused.returncode == 2
    assert "this needs --yes" in refused.stderr
    assert "life" in shell.ok("topic", "list")
    assert shell.ok("topic", "delete", "life", "--yes") == "deleted life\n"
    assert "life" not in shell.ok("topic", "list")


def test_what_was_produced_is_consumed(shell: Shell) -> None:
    """From the start, the end, an offset, a time and the last ones; so many; of one partition."""
    everything = shell.ok("consume", "numbers", "--from", "start", "--exit")
    assert sorted(map(int, everything.splitlines())) == list(range(1, 101))
    again = shell.ok("consume", "numbers", "--from", "start:end")
    assert sorted(again.splitlines()) == sorted(everything.splitlines())
    assert shell.ok("consume", "numbers", "--exit") == ""
    five = shell.ok("consume", "numbers", "--from", "start", "-n", "5")
    assert len(five.splitlines()) == 5

    one = [
        json.loads(line)
        for line in shell.ok(
            *("consume", "numbers", "-p", "1", "--from", "start", "-e", "-o", "json")
        ).splitlines()
    ]
    assert [record["partition"] for record in one] == [1] * len(one)
    assert all(record["key"] == f"k{record['value']}" for record in one)
    end, tail = end_of(shell, 1), ""
    while True:
        tail = shell.ok("consume", "numbers", "-p", "1", "--from", "-3", "-e")
        before, end = end, end_of(shell, 1)
        if before == end:
            break
    # Of the last three offsets an election may have taken some.
    assert tail.split() == [record["value"] for record in one if record["offset"] >= end - 3]
    third = str(one[2]["offset"])
    from_offset = shell.ok("consume", "numbers", "-p", "1", "--from", third, "-e").split()
    assert from_offset == [record["value"] for record in one[2:]]
    moment = f"@{one[0]['timestamp_ms']}"
    assert shell.ok("consume", "numbers", "-p", "1", "--from", moment, "-e").split() == [
        record["value"] for record in one
    ]
    future = shell.ok("consume", "numbers", "--from", "@2200-01-01T00:00:00Z", "--exit")
    assert future == ""


def end_of(shell: Shell, partition: int) -> int:
    """Where the partition of `numbers` ends."""
    rows = json.loads(shell.ok("offsets", "numbers", "-o", "json"))
    return int(rows[partition]["end"])


def test_keys_headers_nulls_and_formats(shell: Shell) -> None:
    """What goes in comes out, in each form."""
    shell.create("forms")
    shell.ok(
        *("produce", "forms", "--key-separator", "=", "-H", "h=1", "-H", "h=2", "--null", "NULL"),
        stdin=b"a=x\r\nb=NULL\nplain\n=\n\xff\xfe",
    )
    line = r"%t/%p %k|%v|%h{h}|%h{none}|%%\n"
    printed = shell.sh(f"streamlog consume forms --from start -e -f '{line}' | cat -v")[1]
    assert printed.splitlines() == [
        "forms/0 a|x|1,2||%",
        "forms/0 b||1,2||%",
        "forms/0 |plain|1,2||%",
        "forms/0 ||1,2||%",
        "forms/0 |M-^?M-~|1,2||%",
    ]
    records = [
        json.loads(line)
        for line in shell.ok("consume", "forms", "--from", "start:end", "-o", "json").splitlines()
    ]
    assert [(r["key"], r["value"]) for r in records] == [
        ("a", "x"),
        ("b", None),
        (None, "plain"),
        ("", ""),
        (None, "//4="),
    ]
    assert records[-1]["value_encoding"] == "base64"
    assert all("value_encoding" not in record for record in records[:-1])
    assert records[0]["headers"] == [{"name": "h", "value": "1"}, {"name": "h", "value": "2"}]
    raw = shell.sh("streamlog consume forms --from start -e -o raw | od -An -tx1")[1]
    assert raw.split() == [*b"xplain".hex(" ").split(), "ff", "fe"]


def test_lines_are_sent_as_they_come(shell: Shell, tmp_path: Path) -> None:
    """Who types, or follows a file, does not wait for the end of the input; a consumer that
    waits at the end gets the line; Ctrl-C ends both with 130; the producer tells what is stored."""
    shell.create("live")
    consumer = shell.start("consume", "live", "--from", "start")
    producer = shell.start("produce", "live")
    try:
        assert producer.stdin is not None
        assert consumer.stdout is not None
        for line in (b"first\n", b"second\n"):
            producer.stdin.write(line)
            producer.stdin.flush()
            assert consumer.stdout.readline() == line
        for process, told in ((consumer, b""), (producer, b"interrupted: 2 records are stored\n")):
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 130
            assert process.stderr is not None
            assert process.stderr.read() == told
    finally:
        for process in (consumer, producer):
            process.kill()
            process.communicate()
    file = tmp_path / "lines"
    file.write_text("third\nlast, without a newline")
    done = shell.run("produce", "live", "--file", str(file), "--compression", "none")
    assert done.stderr == "2 records are stored\n"
    assert shell.ok("consume", "live", "--from", "start:end").splitlines() == [
        *("first", "second", "third", "last, without a newline"),
    ]


def test_the_cluster_is_shown(shell: Shell) -> None:
    """Nodes, leaders, offsets: tables for people, JSON for programs."""

    def in_order(*options: str) -> str:
        """The status, as soon as every node is heard and every partition led."""
        told: list[str] = []

        def is_in_order() -> bool:
            done = shell.run("cluster", "status", *options)
            told.append(done.stdout)
            return done.returncode == 0

        until(is_in_order, "all is in order")
        return told[-1]

    assert "0 without a leader" in in_order()
    status = json.loads(in_order("-o", "json"))
    assert [node["node"] for node in status["nodes"]] == [1, 2, 3]
    assert all(node["live"] for node in status["nodes"])
    assert status["leaderless_partitions"] == 0
    nodes = shell.ok("cluster", "nodes").splitlines()
    assert nodes[0].split() == ["node", "address", "rack", "live", "condition", "role"]
    assert len(nodes) == 4
    rows = json.loads(shell.ok("cluster", "partitions", "-o", "json"))
    ours = [row for row in rows if row["topic"] == "numbers"]
    assert [row["partition"] for row in ours] == [0, 1, 2]
    assert all(sorted(row["replicas"]) == [1, 2, 3] for row in ours)
    until(
        lambda: "every partition has a leader" in shell.ok("cluster", "partitions", "--leaderless"),
        "every partition has a leader",
    )
    offsets = json.loads(shell.ok("offsets", "numbers", "--at", "@2001-01-01", "-o", "json"))
    everything = [
        json.loads(line)
        for line in shell.ok("consume", "numbers", "--from", "start:end", "-o", "json").splitlines()
    ]
    assert len(everything) == 100
    for row in offsets:
        of_it = [each["offset"] for each in everything if each["partition"] == row["partition"]]
        assert (row["start"], row["at_time"]) == (0, min(of_it))
        assert row["end"] > max(of_it)


def test_files_are_read_offline(shell: Shell, tmp_path: Path) -> None:
    """Dump shows every record on each of the three nodes; verify leaves running nodes alone, and
    finds a flipped bit in a file."""

    def is_on_disk(groups: Path) -> bool:
        """Written to segment files, and not only to the journal; nothing is half written."""
        dumped = shell.run("log", "dump", str(groups), "--records", "-o", "json")
        if dumped.returncode != 0:
            return False
        lines = [json.loads(line) for line in dumped.stdout.splitlines()]
        values = [
            record["value"] for line in lines for record in line.get("values", []) if record["key"]
        ]
        return set(map(str, range(1, 101))) <= set(values)

    copies = [tmp_path / "copies" / f"node-{node}" for node in (1, 2, 3)]

    def is_copied() -> bool:
        """The nodes go on: the end of a file that is being written looks torn, and those of a
        topic that was deleted vanish while they are looked at."""
        shutil.rmtree(tmp_path / "copies", ignore_errors=True)
        try:
            for copy in copies:
                shutil.copytree(shell.data / copy.name / "groups", copy)
        except OSError:
            return False
        return True

    until(lambda: is_copied() and all(map(is_on_disk, copies)), "all is in files")
    data = tmp_path / "copies"
    code, first, errors = shell.sh(f"streamlog log dump {data} --records | head -1")
    assert (code in {0, 141}, first.count("\n"), errors) == (True, 1, "")
    running = shell.run("log", "verify", str(shell.data), "-o", "json")
    assert (running.returncode, running.stdout) == (2, "")
    assert "a node runs on this data directory" in running.stderr

    healthy = max(data.rglob("*.segment"), key=lambda path: path.stat().st_size)
    broken = tmp_path / healthy.name
    content = bytearray(healthy.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    verified = shell.run("log", "verify", str(healthy), str(broken), "-o", "json")
    assert verified.returncode == 1
    assert verified.stderr.startswith("error: 1 of 2 findings is damage")
    verdicts = {row["file"]: row["verdict"] for row in json.loads(verified.stdout)["files"]}
    assert verdicts == {str(healthy): "ok", str(broken): "damaged"}
    dumped_broken = shell.run("log", "dump", str(broken))
    assert dumped_broken.returncode == 1
    assert str(broken) in dumped_broken.stderr
    broken.write_bytes(b"GIF89a")
    assert shell.run("log", "dump", str(broken)).returncode == 1


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("topic create", 2, "Missing argument 'TOPIC'; see 'streamlog topic create --help'"),
        ("topic create ../up", 1, "1 to 249 characters"),
        ("topic create numbers", 1, "TOPIC_EXISTS: topic 'numbers' exists"),
        ("topic create t -p many", 2, "'many' is not a whole number, 0 to 10000"),
        ("topic create t -p -1", 2, "'-1' is not a whole number, 0 to 10000"),
        ("topic create t -p 10001", 2, "'10001' is not a whole number, 0 to 10000"),
        ("topic create t -r 5", 1, "replication factor 5 is out of range: 1 to 3"),
        ("topic create t -c retention.ms", 2, "'retention.ms' is not key=value"),
        ("topic create t -c a=1 -c a=2", 2, "a is given twice"),
        ("topic create t -c retention.millis=1", 1, "did you mean retention.ms"),
        ("topic create t -c segment.bytes=7", 1, "segment.bytes = '7' is not allowed: 16384 to"),
        ("topic list --bogus", 2, "No such option: --bogus"),
        ("topic list -o yaml", 2, "'-o': 'yaml' is not one of 'table', 'json'"),
        ("topic describe nobody", 1, "UNKNOWN_TOPIC: there is no topic 'nobody'"),
        ("topic delete nobody -y", 1, "there is no topic 'nobody'"),
        ("topic alter numbers --set x=1", 1, "'x' is not a setting of a topic"),
        ("topic add-partitions numbers 2 -y", 1, "2 partitions are out of range: 4 to 10000"),
        ("topik", 2, "No such command 'topik'"),
        ("produce nobody", 1, "there is no topic 'nobody'"),
        ("produce numbers -p 9", 2, "partition 9 of topic numbers; it has 0 to 2"),
        ("produce numbers -k a --key-separator b", 2, "exclude each other"),
        ("produce numbers -H plain", 2, "--header 'plain' is not NAME=VALUE"),
        ("produce numbers --file /nowhere", 2, "can not read /nowhere: No such file"),
        ("produce numbers --compression lzma", 2, "'lzma' is not one of 'zstd', 'none'"),
        ("consume nobody --from start -e", 1, "there is no topic 'nobody'"),
        ("consume numbers -p 7", 2, "numbers has partitions 0 to 2, not 7"),
        ("consume numbers --from noon", 2, "--from 'noon' is none of start, end"),
        ("consume numbers --from @noon", 2, "'@noon' is no time"),
        (
            "consume numbers -p 0 --from 99999",
            1,
            "offset 99999 is out of range: numbers/0 has 0 to",
        ),
        ("consume numbers --from 99999", 1, "offset 99999 is out of range: numbers/0 has 0 to"),
        ("consume numbers -n 0", 2, "'0' is not a whole number, 1 or more"),
        ("consume numbers -f %q", 2, "%q is unknown; known are %t topic"),
        ("consume numbers -o xml", 2, "'xml' is not one of 'text', 'json', 'raw'"),
        ("offsets nobody", 1, "there is no topic 'nobody'"),
        ("offsets numbers --at noon", 2, "--at 'noon' is no time"),
        ("cluster status -b nonsense", 2, "'nonsense' is not host:port"),
        ("cluster status -b host:99999", 2, "'host:99999' is not host:port"),
        ("node drain 9", 1, "there is no node 9; registered are 1, 2, 3"),
        ("node drain one", 2, "'one' is not a whole number, 1 to"),
        ("node drain 3", 1, "numbers/0 has 3 replicas, and only 2 other nodes can hold one"),
        ("node undrain 3 --timeout", 2, "see 'streamlog node undrain --help'"),
        ("node maintenance 3 maybe", 2, "'maybe' is not one of 'on', 'off'"),
        ("node remove 3 --yes", 1, "node 3 is a controller: name other controllers first"),
        ("node remove 3", 1, "'streamlog cluster controllers NODE ...' names other controllers"),
        ("node replace 3 --with 3 --yes", 2, "node 3 can not replace itself"),
        ("node replace 3 --with 4 --yes", 1, "start it with an empty data directory: streamlog"),
        ("node replace 9 --with 1 --yes", 1, "there is no node 9"),
        ("node restart-check 9", 1, "there is no node 9"),
        ("partition move", 2, "give TOPIC/PARTITION:NODE,NODE,..., or --file"),
        ("partition move numbers/0", 2, "is not TOPIC/PARTITION:NODE,NODE,..., as rides/0:1,2,3"),
        ("partition move numbers/7:1,2", 1, "topic 'numbers' has no partition 7: 0 to 2"),
        ("partition move number/0:1,2", 1, "did you mean 'numbers'?"),
        ("partition move numbers/0:1,1", 1, "1 to 7 different ones are needed"),
        ("partition move numbers/0:1,9", 1, "there is no node 9"),
        ("partition move --file /nowhere", 2, "/nowhere: No such file or directory"),
        ("partition move --file -", 2, "- is not JSON"),
        ("topic alter numbers -r 4", 1, "replication factor 4 is out of range: 1 to 3"),
        ("topic alter numbers", 2, "give --set KEY=VALUE, --unset KEY or --replication-factor N"),
        ("cluster controllers 1 1 2", 2, "a node is named twice"),
        ("cluster controllers 1 9", 1, "a node takes part once it was started with"),
        ("cluster rebalance --moves 0", 2, "'0' is not a whole number, 1 to 1000"),
        ("log dump /nowhere", 2, "/nowhere: No such file or directory"),
        ("log verify /proc/self/fd", 2, "no data directory of a node, which has node.identity"),
        ("dev --nodes 0", 2, "'0' is not a whole number, 1 to 9"),
    ],
)
def test_wrong_input_is_one_line(shell: Shell, line: str, code: int, words: str) -> None:
    """It names the value and what is allowed; 1: refused by the cluster, 2: wrong usage."""
    done = shell.told(words, *line.split(), stdin="x\n")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "topic list",
        "topic create t",
        "topic delete t --yes",
        "produce t",
        "consume t",
        "offsets t",
        "cluster status",
    ],
)
def test_an_absent_cluster_is_told_at_once(shell: Shell, line: str) -> None:
    """Nobody waits for a connection that is refused, however patient the command is else."""
    address = free_addresses(1)[0]
    done = subprocess.run(
        [sys.executable, "-c", ENDLESSLY_PATIENT, *line.split(), "--bootstrap", address],
        input="x\n",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=shell.environment,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"error: no node answers at {address}, from --bootstrap ({address}: connection refused). "
        "Is the cluster running? Name a node with --bootstrap, STREAMLOG_BOOTSTRAP or a profile.\n"
    )


def test_one_absent_node_of_several_is_no_matter(shell: Shell) -> None:
    """The next address is asked."""
    absent = free_addresses(1)[0]
    assert "numbers" in shell.ok("topic", "list", "-b", f"{absent},{shell.bootstrap}")


def test_a_closed_pipe_ends_the_command_quietly(shell: Shell) -> None:
    """As with every command of the system: 141, and no word of it."""
    shell.create("long")
    shell.ok("produce", "long", stdin="\n".join(map(str, range(20_000))))
    for line in (
        "streamlog consume long --from start | head -1",
        "streamlog consume long --from start --exit -o json | head -1",
        "streamlog topic list | true",
    ):
        code, printed, errors = shell.sh(line)
        assert errors == ""
        assert code == 141 or (code == 0 and "true" in line), line
        assert printed.count("\n") == ("head" in line)


def test_without_a_majority_commands_say_so(tmp_path: Path) -> None:
    """Nothing hangs, nobody is named as a leader who is none, and what may have happened is not
    told as refused."""
    with dev(tmp_path) as shell:
        for node in (2, 3):
            os.kill(int((tmp_path / f"node-{node}.pid").read_text()), signal.SIGKILL)

        def leaderless() -> bool:
            done = shell.run("cluster", "status", "-o", "json")
            if not done.stdout:
                return False  # it did not answer in time
            status = json.loads(done.stdout)
            known = (status["leaderless_partitions"], status["metadata_leader"])
            return done.returncode == 1 and known == (3, None)

        until(leaderless, "the node that is left has stepped down")
        described = shell.ok("topic", "describe", "numbers").splitlines()
        assert described[1].split()[:2] == ["0", "-"]
        produced = shell.start("produce", "numbers", "--timeout", "2")
        created = shell.start("topic", "create", "late")
        _, errors = produced.communicate(b"x\n", timeout=TIMEOUT_S)
        assert produced.returncode == 1
        assert b"1 records were not acknowledged" in errors
        assert b"within 2000 ms" in errors
        _, errors = created.communicate(timeout=TIMEOUT_S)
        assert created.returncode == 1
        assert errors.startswith(b"error: ")
        assert errors.count(b"\n") == 1
        assert any(words in errors for words in (b"majority", b"METADATA_UNAVAILABLE")), errors
