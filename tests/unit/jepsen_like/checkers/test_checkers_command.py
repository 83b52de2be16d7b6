"""`python -m jepsen_like.checkers`: what it prints and how it ends."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from jepsen_like.checkers import CHECKERS
from jepsen_like.checkers.__main__ import EPILOG, main
from jepsen_like.checkers.history import to_json_lines
from jepsen_like.checkers.history_file import from_json_lines
from jepsen_like.sim.clients.recorder import Recorder
from jepsen_like.sim.ports.scheduler import Scheduler

GOOD = """\
{"process":"p1","kind":"invoke","what":"send","op":1,"partition":0,"value":"a","idempotent":true}
{"process":"p1","kind":"ok","what":"send","op":1,"partition":0,"offset":1}
{"process":"last","kind":"ok","what":"drain","op":2,"partition":0,"records":[[1,"a"]]}
"""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.jsonl"
    path.write_text(GOOD)
    return path


def test_a_good_history(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every checker has a row; one that had nothing to look at does not pass for a clean one."""
    assert main([str(history)]) == 0
    told = capsys.readouterr().out
    for checker in CHECKERS:
        assert re.search(rf"^{checker.name} ", told, re.MULTILINE)
    assert re.search(r"^lost_writes +1 acknowledged sends +-$", told, re.MULTILINE)
    assert re.search(r"^divergent_replicas +0 replicas +nothing to look at$", told, re.MULTILINE)
    assert "absent: torn_transactions" in told
    assert told.endswith("no violations\n")


def test_a_bad_history(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first cases of each kind are told with the numbers of their lines."""
    bad = GOOD.replace('[[1,"a"]]', '[[1,"a"],[2,"a"],[3,"x"],[4,"y"],[5,"z"]]')
    history.write_text(bad)
    assert main([str(history), "--cases", "2"]) == 1
    told = capsys.readouterr().out
    assert re.search(r"^phantom_reads +5 records read +3$", told, re.MULTILINE)
    assert "phantom_reads, lines 3:\n  x at offset 3 of partition 0" in told
    assert "y at offset 4" in told
    assert "z at offset 5" not in told
    assert "  and 1 more" in told
    assert "duplicates, lines 2, 3:\n  a is at offset 1 of partition 0 and offset 2" in told
    assert told.endswith("4 violations\n")


def test_json(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for a program."""
    history.write_text(GOOD.replace('[[1,"a"]]', "[]"))
    assert main(["--json", str(history)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    found = {check["checker"]: check for check in told["checks"] if check["found"]}
    assert list(found) == ["unseen_writes"]
    assert found["unseen_writes"]["cases"][0]["lines"] == [1, 2, 3]
    assert found["unseen_writes"]["examined"] == 1


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`-` reads it."""
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    assert main(["-"]) == 0
    assert "3 lines" in capsys.readouterr().out


def test_what_the_simulator_records(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its recorder's lines are read as they are."""
    recorder = Recorder(Scheduler(1))
    sent = recorder.invoke("p", "send", 0, value="p-0-0-60", number=0, idempotent=True)
    lost = recorder.invoke("p", "send", 0, value="p-0-1-60", number=1, idempotent=True)
    recorder.ok(sent, offset=1)
    recorder.info(lost, "timeout")
    recorder.ok(recorder.invoke("c", "assign", 0), offset=0)
    recorder.ok(recorder.invoke("c", "poll", 0), records=((1, "p-0-0-60"),))
    recorder.ok(recorder.invoke("d", "drain", 0), records=((1, "p-0-0-60"),))
    recorder.ok(recorder.invoke("n1", "replica", 0), node=1, records=((1, "f00"),), end=2)
    history.write_text(to_json_lines(recorder.history))
    assert from_json_lines(history.read_text()) == recorder.history
    assert main([str(history)]) == 0
    assert "12 lines" in capsys.readouterr().out


def test_what_can_not_be_read(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 2, with the line and the reason, or why the file can not be opened."""
    history.write_text(GOOD + "{}\n")
    assert main([str(history)]) == 2
    assert capsys.readouterr().err == f"{history}: line 4: `process` is missing\n"
    assert main([str(history) + ".gone"]) == 2
    assert "No such file" in capsys.readouterr().err
    history.write_bytes(b"\xff")
    assert main([str(history)]) == 2
    assert "can't decode" in capsys.readouterr().err


def test_help_teaches_a_history_that_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The example in the help is read and judged."""
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "exit code: 0 nothing was found" in capsys.readouterr().out
    lines = [line.strip() for line in EPILOG.splitlines() if line.startswith("  {")]
    assert len(from_json_lines("\n".join(lines))) == 5
