"""Every command's help teaches: what it does, each option, and lines to copy."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from streamlog.cli.main import build

ROOT = Path(__file__).parents[4]
APPLICATION: Any = typer.main.get_command(build())


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its path."""
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from leaves(each, (*path, name))
    else:
        yield path, command


COMMANDS = dict(leaves(APPLICATION))

GROUPS = [name for name, each in APPLICATION.commands.items() if hasattr(each, "commands")]
RUN_UNTIL_STOPPED = {("server",), ("dev",)}
DESTROY = {
    ("topic", "delete"),
    ("topic", "trim"),
    ("topic", "add-partitions"),
    ("group", "delete"),
    ("group", "delete-offsets"),
    ("partition", "force-recover"),
    ("cluster", "force-recover"),
    ("node", "remove"),
    ("node", "replace"),
}
PLANS = {("cluster", "rebalance"), ("group", "reset")}
"""Without --yes they only show what would be done."""


def examples_of(command: Any) -> list[str]:
    """The lines of the examples, after a pipe or before a redirection."""
    lines = [line.strip() for line in (command.epilog or "").splitlines()]
    return [line for line in lines if "streamlog " in line]


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_explains_itself(path: tuple[str, ...]) -> None:
    """A first sentence that a list of commands shows whole, a text for each option, examples."""
    command = COMMANDS[path]
    first = command.get_short_help_str(limit=200)
    assert first
    assert len(first) <= 60, first
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, parameter.name
    assert examples_of(command)


@pytest.mark.parametrize("path", COMMANDS)
def test_its_examples_parse(path: tuple[str, ...]) -> None:
    """They are of this command, and no option in them is wrong."""
    for line in examples_of(COMMANDS[path]):
        arguments = shlex.split(re.split(r" < | \| grep", line.rpartition("| ")[2])[0])
        assert arguments[0] == "streamlog"
        assert tuple(arguments[1 : len(path) + 1]) == path
        COMMANDS[path].make_context("x", arguments[len(path) + 1 :])


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in RUN_UNTIL_STOPPED])
def test_programs_can_read_what_it_prints(path: tuple[str, ...]) -> None:
    """-o json, everywhere under that name."""
    shown = COMMANDS[path].make_context("x", [], resilient_parsing=True).get_help()
    assert re.search(r"-o, --output <[a-z|]*json[a-z|]*>", shown), shown


@pytest.mark.parametrize("path", COMMANDS)
def test_nothing_is_destroyed_unasked(path: tuple[str, ...]) -> None:
    """What can not be undone can be tried first, and asks unless it is told not to."""
    options = {name for each in COMMANDS[path].params for name in each.opts}
    if path in DESTROY:
        assert {"--yes", "--dry-run"} <= options
    elif "--yes" in options:
        assert path in {("profile", "delete"), *PLANS}


@pytest.mark.parametrize("path", COMMANDS)
def test_whoever_talks_to_a_cluster_takes_its_name(path: tuple[str, ...]) -> None:
    """--bootstrap and --profile go together; a node's own --bootstrap is another thing."""
    options = {name for each in COMMANDS[path].params for name in each.opts}
    of_a_node = path[0] in {"server", "config", "profile"}
    assert ("--profile" in options) == ("--bootstrap" in options and not of_a_node)


def test_the_documents_name_only_commands_that_exist() -> None:
    """`streamlog x y` in README, docs and examples is a command, and its options exist."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]:
        for line in re.findall(r"^(?:.*\| )?streamlog ([a-z].*)$", page.read_text(), re.MULTILINE):
            arguments = shlex.split(re.split(r" [<|&#]", line)[0])
            path = next((p for p in COMMANDS if tuple(arguments[: len(p)]) == p), None)
            assert path is not None, f"{page.name}: streamlog {line}"
            COMMANDS[path].make_context("x", arguments[len(path) :])


@pytest.mark.parametrize("arguments", [(), *[(name,) for name in GROUPS]])
def test_a_group_without_a_command_shows_its_help(arguments: tuple[str, ...]) -> None:
    """What there is to choose from, and exit code 2, because nothing was done."""
    done = subprocess.run(
        [sys.executable, "-m", "streamlog.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Commands:" in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2]
