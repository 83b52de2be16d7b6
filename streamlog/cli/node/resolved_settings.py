"""The settings in force of a node, each with who said so.

In falling order of precedence: the command line (`--election-timeout-ms 500`), the environment
(`STREAMLOG_ELECTION_TIMEOUT_MS=500`), a TOML file (`election.timeout.ms = 500`), the default.
`streamlog server` starts a node by them and reads them again on SIGHUP; `streamlog config show`
prints them.

Invariant: `resolve` depends on nothing but its arguments and the content of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.node.settings import ENVIRONMENT_PREFIX, flag_of, variable_of
from streamlog.cli.node.settings_file import read_file
from streamlog.model.errors import StreamlogError
from streamlog.model.settings.node import NODE_SETTINGS, NodeConfig
from streamlog.model.settings.setting import field_of, parse_settings

OTHER_VARIABLES: Final = frozenset(
    ENVIRONMENT_PREFIX + name
    for name in ("BOOTSTRAP", "PROFILE", "CONFIG", "DATA_DIR", "LOG_FORMAT", "LOG_LEVEL")
)
"""Variables of the command line that are no settings of a node."""


class OriginKind(StrEnum):
    """Kinds of places where a value is written."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written."""

    kind: OriginKind
    name: str = ""
    """The option, the variable or the path; empty for a default."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else str(self.kind)


DEFAULT: Final = Origin(OriginKind.DEFAULT)


@dataclass(frozen=True, slots=True)
class ResolvedSetting:
    """A setting in force. `value` is text as operators write it."""

    key: str
    value: str
    default: str
    origin: Origin

    @property
    def changed(self) -> bool:
        """Somebody gave it a value that is not its default."""
        return self.origin != DEFAULT and self.value != self.default


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """All settings of a node.

    Invariant: `settings` has every key of NODE_SETTINGS, in that order, with the value that
    `config` holds.
    """

    config: NodeConfig
    settings: Mapping[str, ResolvedSetting]


def resolve(
    flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None
) -> ResolvedSettings:
    """The settings in force, read anew.

    Args:
        flags: Text by key of the options that were given.
        environment: Empty variables count as absent.
        file: A TOML file, or None.

    Raises CommandFailed with the value, what is allowed, and where the value was written.
    """
    texts, origins = _gather(flags, environment, file)
    try:
        config = NodeConfig.from_text(texts)
    except StreamlogError as error:
        raise CommandFailed(_told(error, origins), EXIT_USAGE) from error
    settings: dict[str, ResolvedSetting] = {}
    for key, setting in NODE_SETTINGS.items():
        # What was left out may follow from others: advertised is bind.
        value = setting.format(getattr(config, field_of(key)))
        settings[key] = ResolvedSetting(
            key, value, setting.format(setting.default), origins.get(key, DEFAULT)
        )
    return ResolvedSettings(config, settings)


def problems(
    flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None
) -> list[str]:
    """All that `resolve` would refuse, one after the other; empty: nothing.

    Raises CommandFailed when the file can not be read at all.
    """
    texts, origins = _gather(flags, environment, file)
    found: list[str] = []
    for key, text in texts.items():
        try:
            parse_settings({key: text}, NODE_SETTINGS, "a node")
        except StreamlogError as error:
            found.append(_told(error, origins))
    if not found:
        try:
            NodeConfig.from_text(texts)
        except StreamlogError as error:
            found.append(_told(error, origins))
    return found


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """What to say about variables that look like settings and are none."""
    known = [variable_of(key).removeprefix(ENVIRONMENT_PREFIX) for key in NODE_SETTINGS]
    notes = []
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in OTHER_VARIABLES:
            continue
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if rest in known:
            continue
        near = " or ".join(ENVIRONMENT_PREFIX + each for each in get_close_matches(rest, known))
        notes.append(f"{name} is no setting" + (f"; did you mean {near}?" if near else ""))
    return notes


def _gather(
    flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None
) -> tuple[dict[str, str], dict[str, Origin]]:
    """Text by key, and who wrote it. Raises CommandFailed."""
    texts: dict[str, str] = {}
    origins: dict[str, Origin] = {}
    if file is not None:
        for key, text in read_file(file).items():
            texts[key], origins[key] = text, Origin(OriginKind.FILE, str(file))
    for key in NODE_SETTINGS:
        variable = variable_of(key)
        if environment.get(variable):
            texts[key] = environment[variable]
            origins[key] = Origin(OriginKind.ENVIRONMENT, variable)
    for key, text in flags.items():
        texts[key], origins[key] = text, Origin(OriginKind.FLAG, flag_of(key))
    return texts, origins


def _told(error: StreamlogError, origins: Mapping[str, Origin]) -> str:
    """The message, with where the value was written or can be."""
    key = error.metadata.get("key", "")
    if key in origins:
        return f"{error.message} (from {origins[key]})"
    if key in NODE_SETTINGS:
        return f"{error.message} (option {flag_of(key)}, variable {variable_of(key)})"
    return error.message
