"""Settings of a node from where operators write them.

In falling order of precedence: the command line (`--election-timeout-ms 500`), the environment
(`STREAMLOG_ELECTION_TIMEOUT_MS=500`), a TOML file (`election.timeout.ms = 500`), the default.
Flags and variables are made from the list of settings, so a new setting has both at once.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.model.errors import StreamlogError
from streamlog.model.settings.node import NODE_SETTINGS, NodeConfig
from streamlog.model.settings.setting import BooleanSetting, Setting, field_of

ENVIRONMENT_PREFIX = "STREAMLOG_"
VARIABLES_OF_THEIR_OWN = {"bootstrap": "STREAMLOG_SERVER_BOOTSTRAP"}
"""STREAMLOG_BOOTSTRAP is where clients find the cluster; a node in the same shell must not take
that address for its own flag."""


def flag_of(key: str) -> str:
    """The command-line option of a setting."""
    return "--" + key.replace(".", "-").replace("_", "-")


def variable_of(key: str) -> str:
    """The environment variable of a setting."""
    own = VARIABLES_OF_THEIR_OWN.get(key)
    return own or ENVIRONMENT_PREFIX + key.replace(".", "_").replace("-", "_").upper()


def option_of(setting: Setting) -> inspect.Parameter:
    """A parameter that makes typer offer the setting as an option, absent when not given."""
    shown = getattr(setting, "format", str)(setting.default)
    option: Any = typer.Option(
        flag_of(setting.key),
        envvar=variable_of(setting.key),
        metavar=None if isinstance(setting, BooleanSetting) else f"<{setting.unit or 'text'}>",
        help=f"{setting.documentation} Allowed: {setting.allowed}."
        + (f" Default: {shown}." if shown else ""),
        show_default=False,
    )
    kind: Any = bool if isinstance(setting, BooleanSetting) else str
    return inspect.Parameter(
        field_of(setting.key),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def options() -> list[inspect.Parameter]:
    """One for each setting of a node."""
    return [option_of(setting) for setting in NODE_SETTINGS.values()]


def given(values: Mapping[str, Any]) -> dict[str, str]:
    """Text by key of the options that were given."""
    texts: dict[str, str] = {}
    for key in NODE_SETTINGS:
        value = values.get(field_of(key))
        if value is not None:
            texts[key] = _text(value)
    return texts


def read_file(path: Path) -> dict[str, str]:
    """Text by key of a TOML file; tables join their keys with dots. Raises CommandFailed."""
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise CommandFailed(
            f"can not read the configuration {path}: {error.strerror}", EXIT_USAGE
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path} is not TOML: {error}", EXIT_USAGE) from error
    texts: dict[str, str] = {}
    _flatten("", tables, texts, path)
    return texts


def node_config(texts: Mapping[str, str]) -> NodeConfig:
    """The checked settings. Raises CommandFailed with the key, the value and its range."""
    try:
        return NodeConfig.from_text(texts)
    except StreamlogError as error:
        key = error.metadata.get("key", "")
        hint = f" (option {flag_of(key)}, variable {variable_of(key)})"
        raise CommandFailed(
            error.message + (hint if key in NODE_SETTINGS else ""), EXIT_USAGE
        ) from error


def _flatten(prefix: str, table: Mapping[str, Any], texts: dict[str, str], path: Path) -> None:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            _flatten(f"{key}.", value, texts, path)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            texts[key] = ",".join(value)
        elif isinstance(value, bool | int | str):
            texts[key] = _text(value)
        else:
            raise CommandFailed(
                f"{path}: {key} = {value!r} is not text, a whole number, true or false, or a list"
                " of texts",
                EXIT_USAGE,
            )


def _text(value: bool | int | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
