"""A node's settings from options, environment and file, with their order and their refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.node_settings import flag_of, given, node_config, options, read_file, variable_of
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
        timeout=30,
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
    config = node_config(read_file(path))
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
        assert f"journal.files = '{value}' is not allowed: 3 to 1024" in done.stderr
    assert not (tmp_path / "data").exists()


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
        timeout=30,
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
