"""Consumer groups as an operator meets them at a shell, right and wrong, on a real cluster of three."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamlog.client.sync import Admin
from tests.fakes.cli_shell import TIMEOUT_S, Shell, dev
from tests.fakes.node_processes import until

TOPIC = "numbers"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One cluster; each test has groups of its own."""
    with dev(tmp_path_factory.mktemp("dev")) as shell:
        yield shell


def bounds(shell: Shell) -> dict[int, tuple[int, int]]:
    """Start and end of each partition."""
    pairs = [(TOPIC, number) for number in range(3)]
    with Admin(shell.bootstrap) as admin:
        starts = admin.list_offsets(pairs, "earliest")
        ends = admin.list_offsets(pairs, "latest")
    return {pair.partition: (start.offset, ends[pair].offset) for pair, start in starts.items()}


def described(shell: Shell, group: str) -> dict[str, Any]:
    """With its lag, which is not known while leaders are elected."""
    told: dict[str, Any] = {}

    def known() -> bool:
        told.update(json.loads(shell.ok("group", "describe", group, "-o", "json")))
        return told["lag_records"] is not None

    until(known, f"the lag of {group} is known")
    return told


def listed(shell: Shell, group: str, *options: str) -> dict[str, Any]:
    """Its row in the list, where none is while its coordinator is elected."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        rows = json.loads(shell.ok("group", "list", *options, "-o", "json"))
        found[:] = [row for row in rows if row["group"] == group]
        return bool(found)

    until(there, f"{group} is listed")
    return found[0]


def positions(shell: Shell, group: str) -> dict[int, int]:
    """Where the group stands, by partition; without a command, which takes half a second."""
    with Admin(shell.bootstrap) as admin:
        return {pair.partition: each.offset for pair, each in admin.group_offsets(group).items()}


def at_ends(shell: Shell, group: str, since: dict[int, tuple[int, int]]) -> bool:
    """Whether the group stands where the logs end, or ended since then: each leader that is elected
    moves an end on."""
    at, now = positions(shell, group), bounds(shell)
    return at.keys() == now.keys() and all(
        since[number][1] <= offset <= now[number][1] for number, offset in at.items()
    )


def refused(shell: Shell, code: int, *arguments: str, stdin: str = "") -> str:
    """What a command that fails says, in one line."""
    done = shell.decided(*arguments, stdin=stdin)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    return done.stderr


def suggested(shell: Shell, name: str, *arguments: str) -> None:
    """A command fails, and asks whether this was meant. Names are not waited for for long, and a
    coordinator that is being elected tells of none."""
    until(
        lambda: f"did you mean {name}?" in refused(shell, 1, *arguments),
        f"{arguments} suggests {name}",
    )


def made(shell: Shell, group: str) -> dict[int, tuple[int, int]]:
    """A group that stands at the start of each partition; the bounds of these."""
    found = bounds(shell)
    with Admin(shell.bootstrap) as admin:
        admin.reset_group_offsets(
            group, {(TOPIC, number): start for number, (start, _) in found.items()}, create=True
        )
    return found


@contextmanager
def member(shell: Shell, group: str) -> Iterator[subprocess.Popen[bytes]]:
    """`streamlog consume` as a member that owns all of the topic, until Ctrl-C."""
    process = shell.start("consume", TOPIC, "--group", group, "-o", "json")
    try:
        until(lambda: assigned(shell, group) == [3], "the member owns all partitions")
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert b"Traceback" not in errors, errors
        assert process.returncode == 130, errors


def assigned(shell: Shell, group: str) -> list[int]:
    """How many partitions each member of the group owns."""
    with Admin(shell.bootstrap) as admin:
        known = [each.name for each in admin.list_groups()]
        if group not in known:
            return []
        return [len(each.assigned) for each in admin.describe_group(group).members]


def lag(shell: Shell, group: str) -> int | None:
    """Of the whole group; None when a partition has no position."""
    with Admin(shell.bootstrap) as admin:
        lags = [each.lag_records for each in admin.describe_group(group).partitions]
    return None if None in lags else sum(each for each in lags if each is not None)


def numbers(text: str) -> list[int]:
    """What was printed, in order."""
    return sorted(map(int, text.split()))


def test_a_group_is_seen_moved_and_deleted(shell: Shell) -> None:
    """From its positions alone: lag, preview, every way to say where, a file, the end of it."""
    assert "would set 3 positions" in shell.ok(
        "group", "reset", "billing", "-t", TOPIC, "--to", "earliest", "--create"
    )
    assert "billing" not in shell.ok("group", "list")
    shell.ok("group", "reset", "billing", "-t", TOPIC, "--to", "earliest", "--create", "--yes")
    ends = bounds(shell)
    assert set(positions(shell, "billing").values()) == {start for start, _ in ends.values()}
    row = listed(shell, "billing")
    assert (row["phase"], row["positions"]) == ("empty", 3)
    assert row["coordinator"] in {1, 2, 3}
    told = described(shell, "billing")
    # Leaders' own entries take offsets, too.
    stored = sum(end - start for start, end in bounds(shell).values())
    assert 100 <= told["lag_records"] <= stored
    assert 0 < told["lag_seconds"] < 3_600
    until(
        lambda: (
            listed(shell, "billing", "--lag")["lag_records"]
            == described(shell, "billing")["lag_records"]
        ),
        "the list and the description tell the same lag",
    )

    saved = shell.ok("group", "describe", "billing", "-o", "csv")
    preview = shell.run("group", "reset", "billing", "--to", "latest")
    assert preview.returncode == 0
    assert "would set 3 positions of billing" in preview.stdout
    assert preview.stderr == "nothing was changed; --yes does it\n"
    assert positions(shell, "billing") == {number: start for number, (start, _) in ends.items()}
    done = json.loads(
        shell.ok("group", "reset", "billing", "--to", "latest", "--execute", "-o", "json")
    )
    assert (done["dry_run"], done["changed"]) == (False, 3)
    assert at_ends(shell, "billing", ends)
    assert described(shell, "billing")["lag_records"] == 0
    assert described(shell, "billing")["lag_seconds"] == 0.0

    def is_there_already() -> bool:
        """Unless the end was moved on between the two commands."""
        shell.ok("group", "reset", "billing", "--to", "latest", "--yes")
        preview = shell.ok("group", "reset", "billing", "--to", "latest")
        return preview.endswith("billing is there already\n")

    until(is_there_already, "there is nothing to set")
    stood = positions(shell, "billing")
    shell.ok("group", "reset", "billing", "-t", f"{TOPIC}:0,2", "--shift", "-3", "--yes")
    assert positions(shell, "billing") == {
        number: offset - (3 if number != 1 else 0) for number, offset in stood.items()
    }
    shell.ok("group", "reset", "billing", "--to", "-1d", "--yes")
    assert described(shell, "billing")["lag_records"] >= 100
    shell.ok("group", "reset", "billing", "--to", "@now", "--yes")
    assert described(shell, "billing")["lag_records"] == 0
    shell.ok("group", "reset", "billing", "-t", f"{TOPIC}:1", "--to", str(ends[1][0] + 2), "--yes")
    assert positions(shell, "billing")[1] == ends[1][0] + 2
    shell.ok("group", "reset", "billing", "--from-file", "-", "--yes", stdin=saved)
    assert positions(shell, "billing") == {number: start for number, (start, _) in ends.items()}
    shell.ok("group", "reset", "billing", "--from-file", "-", "--yes", stdin=json.dumps(done))
    assert positions(shell, "billing") == {number: start for number, (start, _) in ends.items()}

    assert shell.ok("group", "delete-offsets", "billing", "-t", f"{TOPIC}:1", "--yes") == (
        "forgot 1 position of billing\n"
    )
    assert list(positions(shell, "billing")) == [0, 2]
    assert shell.ok("group", "delete", "billing", "--dry-run") == (
        "would delete billing: 2 positions\n"
    )
    assert "this needs --yes" in refused(shell, 2, "group", "delete", "billing", stdin="y\n")
    assert shell.ok("group", "delete", "billing", "--yes") == "deleted billing: 2 positions\n"
    assert "billing" not in shell.ok("group", "list")


def test_a_group_with_members(shell: Shell) -> None:
    """Who reads what, by names; its positions are set under its feet, and it can not be deleted."""
    made(shell, "tills")
    with member(shell, "tills") as process:
        told: dict[str, Any] = {}

        def connected() -> bool:
            """It connects anew when another node becomes the coordinator."""
            told.update(described(shell, "tills"))
            members = [each["connected"] for each in told["members"]]
            return (told["phase"], members) == ("stable", [True])

        until(connected, "the member is connected")
        (till,) = told["members"]
        assert till["client"] == f"streamlog consume (pid {process.pid})"
        assert till["assigned"] == [f"{TOPIC}/{number}" for number in range(3)]
        assert {row["member"] for row in told["partitions"]} == {till["member"]}
        text = shell.ok("group", "describe", "tills")
        assert f"{TOPIC}:0,1,2" in text
        assert "member_joined" in text

        until(lambda: lag(shell, "tills") == 0, "what was printed is committed")
        done = json.loads(
            shell.ok("group", "reset", "tills", "--to", "earliest", "--yes", "-o", "json")
        )
        assert done["epoch"] > told["epoch"]
        assert "offsets_reset" in shell.ok("group", "describe", "tills")
        until(lambda: lag(shell, "tills") == 0, "it was read again")

        assert "has 1 member; stop its members first" in refused(
            shell, 1, "group", "delete", "tills", "--yes"
        )
        assert "group reset" in refused(
            shell, 1, "group", "delete-offsets", "tills", "-t", TOPIC, "--yes"
        )
    until(lambda: described(shell, "tills")["phase"] == "empty", "the member has left")
    told = described(shell, "tills")
    assert told["lag_records"] == 0
    assert told["rebalances"][-1]["cause"] == "member_left"
    shell.ok("group", "delete", "tills", "--yes")


def three_reads(shell: Shell, group: str) -> list[list[int]]:
    """What three commands of one group print, one after the other; nothing when one of them said
    that it could not commit what it printed last, as in an election."""
    printed = []
    for options in (("-n", "7"), ("--exit",), ("--exit",)):
        done = shell.run("consume", TOPIC, "--group", group, *options)
        assert done.returncode == 0, done.stderr
        if "will be printed again" in done.stderr:
            return []
        printed.append(numbers(done.stdout))
    return printed


def test_what_was_printed_is_committed(shell: Shell) -> None:
    """Once each, over several commands; what could not be written is printed again."""
    everything = list(range(1, 101))
    groups = (f"readers-{count}" for count in itertools.count())
    group, (first, rest, nothing) = next(
        (group, reads) for group in groups if (reads := three_reads(shell, group))
    )
    assert len(first) == 7
    assert sorted(first + rest) == everything
    assert nothing == []
    assert described(shell, group)["lag_records"] == 0

    code, _, errors = shell.sh(f"streamlog consume {TOPIC} --group full --exit > /dev/full")
    assert (code, errors.count("\n")) == (1, 1)
    starts = {number: start for number, (start, _) in bounds(shell).items()}
    assert all(starts[number] == at for number, at in positions(shell, "full").items())
    assert numbers(shell.ok("consume", TOPIC, "--group", "full", "--exit")) == everything

    matched = shell.ok("consume", "--group", "pattern", "--pattern", "numb.*", "--exit")
    assert numbers(matched) == everything
    assert shell.ok("consume", TOPIC, "--group", "late", "--from", "end", "--exit") == ""


def test_two_members_share_a_topic(shell: Shell) -> None:
    """Each record is printed by one of them; when one goes the other has all of it."""
    shell.ok("topic", "create", "shared", "--partitions", "2")
    reading = ("consume", "shared", "--group", "pair", "-f", "%v\\n")
    processes = [shell.start(*reading) for _ in range(2)]
    try:
        until(lambda: assigned(shell, "pair") == [1, 1], "each has a partition")
        lines = "".join(f"{number}\n" for number in range(40))
        shell.ok("produce", "shared", stdin=lines)
        until(lambda: lag(shell, "pair") == 0, "all is printed")
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        printed = [process.communicate(timeout=TIMEOUT_S)[0].decode() for process in processes]
    assert numbers(" ".join(printed)) == list(range(40))
    assert shell.ok(*reading, "--exit") == ""


def test_a_member_that_can_not_be_one(shell: Shell) -> None:
    """Options that do not go with a group, topics and names that are none: a line each."""
    group = ("consume", "--group", "g")
    assert "Missing argument 'TOPIC...'" in refused(shell, 2, *group)
    assert "Missing argument 'TOPIC...'" in refused(shell, 2, "consume")
    assert "--pattern is for --group" in refused(shell, 2, "consume", "--pattern", "n.*")
    assert "--partition is not for --group" in refused(shell, 2, *group, TOPIC, "-p", "0")
    assert "without a position" in refused(shell, 2, *group, TOPIC, "--from", "5")
    suggested(shell, "'numbers'", *group, "nmubers", "--exit")
    assert "INVALID_GROUP_NAME" in refused(shell, 1, "consume", TOPIC, "--group", "a b", "--exit")
    assert "INVALID_PATTERN" in refused(shell, 1, *group, "--pattern", "(", "--exit")


def test_who_watches(shell: Shell) -> None:
    """A pipe gets lines with their time, or an object a line; nothing that moves."""
    made(shell, "watched")
    lines = shell.ok(
        *("group", "describe", "watched", "--watch", "--interval", "1", "-n", "2")
    ).splitlines()
    assert len([line for line in lines if " watched empty members=0 lag=" in line]) == 2
    assert not any("\x1b" in line for line in lines)
    objects = shell.ok("group", "describe", "watched", "-w", "-n", "1", "-o", "json").splitlines()
    assert json.loads(objects[0])["group"] == "watched"
    until(
        lambda: (
            " watched phase=empty members=0 positions=3 "
            in shell.ok("group", "list", "--lag", "--watch", "-n", "1")
        ),
        "the group is listed: a coordinator that is elected tells of none",
    )
    assert "-n is for --watch" in refused(shell, 2, "group", "list", "-n", "3")
    assert "not for -o csv" in refused(shell, 2, "group", "describe", "watched", "-w", "-o", "csv")
    assert "no group" in refused(shell, 1, "group", "describe", "watchet", "--watch")


def test_what_is_wrong_is_said_in_a_line(shell: Shell) -> None:
    """Names, places, files and partitions that are none; nothing is changed by any of them."""
    ends = made(shell, "wrong")
    before = positions(shell, "wrong")
    beyond = ends[0][1] + 1_000
    suggested(shell, "'wrong'", "group", "describe", "wrnog")
    suggested(shell, "'wrong'", "group", "reset", "Wrong", "--to", "latest")
    assert "there is no group 'wrog'" in refused(shell, 1, "group", "delete", "wrog", "--yes")
    assert "INVALID_GROUP_NAME" in refused(shell, 1, "group", "describe", "a b")
    reset = ("group", "reset", "wrong")
    assert "nothing says where to" in refused(shell, 2, *reset)
    both = refused(shell, 2, *reset, "--to", "latest", "--shift", "+1")
    assert "--to and --shift do not go together" in both
    said = refused(shell, 1, *reset, "-t", f"{TOPIC}:0", "--to", str(beyond), "--yes")
    known = re.search(rf"{beyond} of {TOPIC}/0 \(it has {ends[0][0]} to (\d+)\)", said)
    assert known is not None, said
    assert ends[0][1] <= int(known[1]) < beyond
    assert "partitions 0 to 2, not 3" in refused(
        shell, 2, *reset, "-t", f"{TOPIC}:3", "--to", "latest"
    )
    suggested(shell, "'numbers'", *reset, "-t", "nmubers", "--to", "latest")
    for text, what in (
        ("", "it is empty"),
        (f"{TOPIC},0,one\n", "line 1: the offset is 'one'"),
    ):
        assert what in refused(shell, 2, *reset, "--from-file", "-", "--yes", stdin=text)
    assert "out of range" in refused(
        shell, 1, *reset, "--from-file", "-", "--yes", stdin=f"{TOPIC},0,{beyond}\n"
    )
    assert "--topic must say" in refused(shell, 2, "group", "delete-offsets", "wrong", "--yes")
    assert positions(shell, "wrong") == before


def test_the_shell_offers_groups(shell: Shell) -> None:
    """Tab after `group describe` names those that begin so."""
    made(shell, "tabbed-one")
    made(shell, "tabbed-two")

    def offered() -> list[str]:
        words = "streamlog group describe tabbed-"
        done = subprocess.run(
            [sys.executable, "-c", "from streamlog.cli.main import main; main()"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={
                **shell.environment,
                "_STREAMLOG_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
            },
        )
        assert done.stderr == ""
        return done.stdout.split()

    # A cluster that is too busy to answer within half a second is not waited for.
    until(lambda: offered() == ["tabbed-one", "tabbed-two"], "groups are offered")


def test_standard_output_is_a_file(shell: Shell, tmp_path: Path) -> None:
    """What describe writes into a file is what reset reads from it."""
    made(shell, "filed")
    for form in ("json", "csv"):
        path = tmp_path / f"filed.{form}"
        path.write_text(shell.ok("group", "describe", "filed", "-o", form))
        shell.ok("group", "reset", "filed", "--to", "latest", "--yes")
        assert "set 3 positions" in shell.ok(
            "group", "reset", "filed", "--from-file", str(path), "-y"
        )
