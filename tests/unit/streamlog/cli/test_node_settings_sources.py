"""A node's settings from options, environment and file, with their order and their refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.node.resolved_settings import (
    DEFAULT,
    Origin,
    OriginKind,
    problems,
    resolve,
    unknown_variables,
)
from streamlog.cli.node.settings import flag_of, given, options, variable_of
from streamlog.cli.node.settings_file import read_file
from streamlog.model.settings.node import NODE_SETTINGS
from streamlog.model.settings.setting import field_of


def run(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`streamlog server` as an operator starts it; never with a port of its own."""
    return subprocess.run(
        [sys.executable, "-m", "streamlog.cli.main", "server", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def test_every_setting_is_an_option_with_a_variable() -> None:
    """The list of settings and the command line name the same things."""
    offered = {option.name for option in options()}
    assert offered == {field_of(key) for key in NODE_SETTINGS}
    assert flag_of("election.timeout.ms") == "--election-timeout-ms"
    assert variable_of("election.timeout.ms") == "STREAMLOG_ELECTION_TIMEOUT_MS"


def test_the_address_of_a_cluster_is_no_setting_of_a_node() -> None:
    """What clients read from the environment does not change or stop a node in the same shell."""
    variables = {variable_of(key) for key in NODE_SETTINGS}
    assert "STREAMLOG_BOOTSTRAP" not in variables
    assert len(variables) == len(NODE_SETTINGS)


def test_only_what_was_given_counts() -> None:
    """Options that were not given leave room for the file and the defaults."""
    assert given({"node_id": "3", "bootstrap": False, "rack": None}) == {
        "node.id": "3",
        "bootstrap": "false",
    }


def test_a_file(tmp_path: Path) -> None:
    """Dotted keys, tables, numbers, flags and lists become text by key."""
    path = tmp_path / "node.toml"
    path.write_text(
        'node.id = 2\nbootstrap = true\ncontrollers = ["1@127.0.0.1:1", "2@127.0.0.1:2"]\n'
        'bind = "127.0.0.1:2"\n[election.timeout]\nms = 900\n'
    )
    config = resolve({}, {}, path).config
    assert config.node_id == 2
    assert config.bootstrap
    assert config.controllers == ((1, "127.0.0.1:1"), (2, "127.0.0.1:2"))
    assert config.election_timeout_ms == 900


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("node.id = ", "is not TOML"),
        ("node.id = 1.5", "node.id = 1.5 is not text, a whole number"),
        ("controllers = [1]", "controllers = \\[1\\] is not text"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: str, message: str) -> None:
    """What can not be a setting is named with the file."""
    path = tmp_path / "node.toml"
    path.write_text(content)
    with pytest.raises(CommandFailed, match=message) as caught:
        read_file(path)
    assert caught.value.exit_code == EXIT_USAGE
    assert str(path) in caught.value.message


def test_order_of_precedence(tmp_path: Path) -> None:
    """Option before environment before file before default: each is out of its range here, and
    the refusal shows whose value was taken."""
    path = tmp_path / "node.toml"
    path.write_text("journal.files = 2\nsnapshot.records = 9\n")
    base = ("--config", str(path), "--data-dir", str(tmp_path / "data"))
    variable = {"STREAMLOG_JOURNAL_FILES": "1"}
    for arguments, environment, value in (
        (base, {}, "2"),
        (base, variable, "1"),
        ((*base, "--journal-files", "0"), variable, "0"),
    ):
        done = run(*arguments, environment=environment)
        assert done.returncode == EXIT_USAGE
        assert f"journal.files = '{value}' is not allowed: 3 to 1024 (from " in done.stderr
    assert not (tmp_path / "data").exists()


def test_each_value_has_its_origin(tmp_path: Path) -> None:
    """The option, the variable and the file by name; what was not given is the default, and what
    follows from another setting too."""
    path = tmp_path / "node.toml"
    path.write_text("journal.files = 9\nsnapshot.records = 99\nopen.files = 64\n")
    environment = {"STREAMLOG_JOURNAL_FILES": "10", "STREAMLOG_SNAPSHOT_RECORDS": "98"}
    resolved = resolve({"journal.files": "11", "bind": "127.0.0.1:7"}, environment, path)
    found = {key: (each.value, each.origin) for key, each in resolved.settings.items()}
    assert list(found) == list(NODE_SETTINGS)
    assert found["journal.files"] == ("11", Origin(OriginKind.FLAG, "--journal-files"))
    assert found["snapshot.records"] == (
        "98",
        Origin(OriginKind.ENVIRONMENT, "STREAMLOG_SNAPSHOT_RECORDS"),
    )
    assert found["open.files"] == ("64", Origin(OriginKind.FILE, str(path)))
    assert found["advertised"] == ("127.0.0.1:7", DEFAULT)
    assert resolved.config.journal_files == 11
    assert [str(found[key][1]) for key in ("journal.files", "rack")] == [
        "flag --journal-files",
        "default",
    ]
    changed = [key for key, each in resolved.settings.items() if each.changed]
    assert changed == ["bind", "journal.files", "snapshot.records", "open.files"]


def test_settings_can_be_read_again(tmp_path: Path) -> None:
    """The file as it is by then; an empty variable counts as absent."""
    path = tmp_path / "node.toml"
    path.write_text("journal.files = 9\n")
    empty = {"STREAMLOG_JOURNAL_FILES": ""}
    assert resolve({}, empty, path).config.journal_files == 9
    path.write_text("journal.files = 10\n")
    assert resolve({}, empty, path).config.journal_files == 10
    path.write_text("journal.files = 8\n")
    assert not resolve({}, empty, path).settings["journal.files"].changed


def test_every_problem_is_found(tmp_path: Path) -> None:
    """Not only the first one, each with where it was written."""
    path = tmp_path / "node.toml"
    path.write_text("journal.files = 1\nelection.timeout = 5\nopen.files = 'x'\n")
    found = problems({"bind": "nowhere"}, {}, path)
    assert len(found) == 4
    assert f"journal.files = '1' is not allowed: 3 to 1024 (from file {path})" in found
    assert any("did you mean election.timeout.ms" in problem for problem in found)
    assert any(problem.endswith("(from flag --bind)") for problem in found)
    path.write_text("election.timeout.ms = 100\n")
    (crossed,) = problems({}, {}, path)
    assert "at least 3 times heartbeat.interval.ms" in crossed
    assert problems({"heartbeat.interval.ms": "10"}, {}, path) == []


def test_variables_that_are_no_settings() -> None:
    """A misspelt one is told with those like it; those of other commands are known."""
    environment = {
        "STREAMLOG_ELECTION_TIMEOUT": "1",
        "STREAMLOG_BOOTSTRAP": "h:1",
        "STREAMLOG_PROFILE": "p",
        "STREAMLOG_DATA_DIR": "d",
        "STREAMLOG_RACK": "r",
        "PATH": "/bin",
    }
    (note,) = unknown_variables(environment)
    assert note.startswith("STREAMLOG_ELECTION_TIMEOUT is no setting; did you mean ")
    assert "STREAMLOG_ELECTION_TIMEOUT_MS" in note


VARIABLE = "STREAMLOG_RETENTION_CHECK_MS"


def config(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STREAMLOG_")}
    return subprocess.run(
        [sys.executable, "-m", "streamlog.cli.main", "config", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=clean | (environment or {}),
    )


def test_config_show(tmp_path: Path) -> None:
    """Takes the options of the server, and starts nothing."""
    path = tmp_path / "node.toml"
    path.write_text("journal.files = 9\n")
    line = ("--config", str(path), "--rack", "r1", "--data-dir", str(tmp_path / "d"))
    done = config("show", *line, environment={VARIABLE: "7000"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["setting", "value", "unit", "change", "from"]
    assert len(done.stdout.splitlines()) == len(NODE_SETTINGS) + 1
    changed = config("show", *line, "--changed", environment={VARIABLE: "7000"})
    assert [row.split() for row in changed.stdout.splitlines()[1:]] == [
        ["rack", "r1", "restart", "flag", "--rack"],
        ["journal.files", "9", "restart", "file", str(path)],
        ["retention.check.ms", "7000", "ms", "live", "environment", VARIABLE],
    ]
    assert not (tmp_path / "d").exists()
    assert config("show", "--changed").stdout == "every setting is at its default\n"
    rows = json.loads(config("show", "--bootstrap", "--changed", "-o", "json").stdout)
    assert rows == [
        {
            "setting": "bootstrap",
            "value": "true",
            "default": "false",
            "live": False,
            "origin": {"kind": "flag", "name": "--bootstrap"},
        }
    ]
    misspelt = config("show", "--changed", environment={"STREAMLOG_RAK": "x"})
    assert misspelt.stderr == "note: STREAMLOG_RAK is no setting; did you mean STREAMLOG_RACK?\n"
    wrong = config("show", "--journal-files", "1")
    assert wrong.returncode == EXIT_USAGE
    assert wrong.stderr.count("\n") == 1


def test_config_check(tmp_path: Path) -> None:
    """All that is wrong, a line each, and exit code 1; an unreadable file is 2."""
    path = tmp_path / "node.toml"
    path.write_text("journal.files = 9\nrack = 'r'\n")
    good = config("check", str(path))
    assert (good.returncode, good.stdout) == (0, f"{path}: 2 settings, nothing wrong\n")
    path.write_text("journal.files = 1\nopen.files = 1\n")
    bad = config("check", str(path))
    assert bad.returncode == 1
    assert len(bad.stdout.splitlines()) == 2
    assert bad.stderr == f"error: {path}: 2 problems\n"
    as_json = config("check", str(path), "-o", "json")
    assert len(json.loads(as_json.stdout)["problems"]) == 2
    absent = config("check", str(tmp_path / "absent"))
    assert absent.returncode == EXIT_USAGE
    assert "No such file" in absent.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--node-id", "0"), "node.id = '0' is not allowed: 1 to 2147483647"),
        (("--node-id", "one"), "node.id = 'one' is not allowed: a whole number"),
        (("--bind", "nowhere"), "bind = 'nowhere' is not allowed: host:port"),
        (("--bind", "0.0.0.0:9092"), "set insecure to allow any other"),
        (("--log-level", "loud"), "--log-level = 'loud' is not allowed: one of debug"),
        (("--config", "/nowhere.toml"), "can not read the configuration /nowhere.toml"),
        (("--no-such-option", "1"), "No such option"),
    ],
)
def test_wrong_input_is_one_clear_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """It names the value and what is allowed, without a traceback; the exit code is 2, and no
    data directory is made."""
    done = run("--data-dir", str(tmp_path / "data"), *arguments)
    assert done.returncode == EXIT_USAGE, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_unknown_key_of_a_file_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    """A misspelt key does not pass in silence."""
    path = tmp_path / "node.toml"
    path.write_text("election.timeout = 900\n")
    done = run("--config", str(path))
    assert done.returncode == EXIT_USAGE
    assert "'election.timeout' is not a setting of a node" in done.stderr
    assert "election.timeout.ms" in done.stderr


def test_too_few_descriptors(tmp_path: Path) -> None:
    """A hard limit below what the settings need is refused with both numbers."""
    command = f"ulimit -n 300; exec {sys.executable} -m streamlog.cli.main server"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} --data-dir {tmp_path / 'data'}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == EXIT_USAGE
    assert "768 open files are needed and 300 are allowed" in done.stderr
    assert "lower open.files by 468" in done.stderr


def test_the_help_is_quick_to_load() -> None:
    """Neither gRPC nor the node is imported to show the help or to refuse a setting."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            """if True:
            import sys
            from streamlog.cli.main import build
            build()
            heavy = ("grpc", "uvloop", "structlog", "streamlog.server.node")
            print([name for name in heavy if name in sys.modules])
            """,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
