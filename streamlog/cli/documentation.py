"""Renders `docs/cli.md` from the commands themselves.

python -m streamlog.cli.documentation > docs/cli.md

What the commands have in common is told by hand in `docs/command-line.md`. The options that are
settings of a node are not repeated here: `docs/configuration.md` has them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

import typer.main

from streamlog.cli.main import build
from streamlog.cli.node.settings import flag_of
from streamlog.model.settings.node import NODE_SETTINGS

_HEAD: Final = """# Commands

Generated from `streamlog/cli`; a test fails when it is stale. What all commands have in common (which
cluster, exit codes, places in a log, templates, JSON) is in [command-line.md](command-line.md).
"""
_SETTINGS: Final = """Besides, each setting of [configuration.md](configuration.md) is an option, its name with `-` for
`.`: `retention.check.ms` is `--retention-check-ms`.
"""
_SETTING_FLAGS: Final = frozenset(map(flag_of, NODE_SETTINGS))
_SETTINGS_MANY: Final = 10
"""A command with more options than this that are settings has all of them."""
_EVERYWHERE: Final = frozenset({"--help"})
_ADDED_BY_TYPER: Final = re.compile(r" +\[(?=required|default: |env var: )")


def render() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(build())
    commands = list(leaves(root))
    contents = [
        f"| [{path}](#{path.replace(' ', '-')}) | {_short(each)} |" for path, each in commands
    ]
    sections = [_section(path, command) for path, command in commands]
    return "\n".join([_HEAD, "| command | what it does |", "|---|---|", *contents, "", *sections])


def leaves(command: Any, path: str = "streamlog") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its name as it is typed, in the order of the help."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, each in command.commands.items():
        if not each.hidden:
            yield from leaves(each, f"{path} {name}")


def _short(command: Any) -> str:
    return str(command.get_short_help_str(limit=1_000))


def _section(path: str, command: Any) -> str:
    context = command.make_context(path, [], resilient_parsing=True)
    parameters = [each for each in command.params if not _EVERYWHERE & set(each.opts)]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option"]
    settings = [each for each in options if _SETTING_FLAGS & set(each.opts)]
    has_settings = len(settings) > _SETTINGS_MANY
    if has_settings:
        options = [each for each in options if each not in settings]
    usage = " ".join([path, *(each.metavar or each.name.upper() for each in arguments)])
    parts = [f"## {path}", f"    {usage} [OPTIONS]", "", _prose(command.help or ""), ""]
    rows = [row for each in [*arguments, *options] if (row := _row(each, context))]
    if rows:
        parts += ["| option | meaning |", "|---|---|", *rows, ""]
    if has_settings:
        parts.append(_SETTINGS)
    for block in (command.epilog or "").split("\b\n")[1:]:
        title, _, lines = block.strip("\n").partition("\n")
        parts += [
            title,
            "```",
            *(line.removeprefix("  ") for line in lines.splitlines()),
            "```",
            "",
        ]
    return "\n".join(parts)


def _prose(text: str) -> str:
    """Paragraphs, one line each; what is laid out stays so."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        laid_out = paragraph.startswith("\b\n")
        paragraphs.append(
            "```\n" + paragraph.removeprefix("\b\n") + "\n```"
            if laid_out
            else " ".join(paragraph.split())
        )
    return "\n\n".join(paragraphs)


def _row(parameter: Any, context: Any) -> str | None:
    """Names and meaning; None for what the help does not show."""
    record = parameter.get_help_record(context)
    if record is None:
        return None
    names, meaning = record
    if parameter.param_type_name == "argument":
        names = parameter.metavar or parameter.name.upper()
    meaning = _ADDED_BY_TYPER.sub(" [", " ".join(meaning.split()))
    return f"| `{_cell(names)}` | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    os.environ["COLUMNS"] = "200"
    sys.stdout.write(render())
