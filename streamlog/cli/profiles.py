"""Profiles: names for the addresses of clusters, kept in a file of the user.

    current = "staging"

    [profiles.staging]
    bootstrap = "10.0.0.1:9092,10.0.0.2:9092"

Invariant: the file is whole at any time, whoever kills whom: it is written beside its place, and
then renamed. Only its owner may read it, because later versions may keep credentials in it.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed

NAME_CHARACTERS_MAX: Final = 64
_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_CHARACTERS_MAX - 1}}}")


@dataclass(frozen=True, slots=True)
class Profiles:
    """What the file says.

    Invariant: `current` is None or a key of `bootstraps`.
    """

    bootstraps: Mapping[str, str] = field(default_factory=dict)
    """Addresses ("host:port,host:port") by name."""
    current: str | None = None

    def bootstrap(self, name: str) -> str:
        """The addresses of a profile. Raises CommandFailed, with the names that are like it."""
        if name in self.bootstraps:
            return self.bootstraps[name]
        near = get_close_matches(name, self.bootstraps, n=3)
        if near:
            hint = f"did you mean {' or '.join(map(repr, near))}?"
        elif self.bootstraps:
            hint = f"there are {', '.join(sorted(self.bootstraps))}"
        else:
            hint = "make it with 'streamlog profile create'"
        raise CommandFailed(f"there is no profile {name!r}; {hint}", EXIT_USAGE)

    def with_profile(self, name: str, bootstrap: str, *, use: bool) -> Profiles:
        """With one more, or another value of it; the first one becomes the current one."""
        current = name if use or self.current is None else self.current
        return Profiles({**self.bootstraps, name: bootstrap}, current)

    def using(self, name: str) -> Profiles:
        """With another current one. Raises CommandFailed."""
        self.bootstrap(name)
        return replace(self, current=name)

    def without(self, name: str) -> Profiles:
        """With one less. Raises CommandFailed."""
        self.bootstrap(name)
        rest = {each: value for each, value in self.bootstraps.items() if each != name}
        return Profiles(rest, None if self.current == name else self.current)


def check_name(name: str) -> str:
    """The name when it may be one. Raises CommandFailed."""
    if not _NAME.fullmatch(name):
        raise CommandFailed(
            f"the profile name {name!r} is not allowed: 1 to {NAME_CHARACTERS_MAX} characters of"
            " [a-zA-Z0-9._-], a letter or digit first",
            EXIT_USAGE,
        )
    return name


def profiles_file(environment: Mapping[str, str]) -> Path:
    """Where the profiles are kept.

    A relative XDG_CONFIG_HOME is ignored, as the XDG base directory specification asks.
    """
    base = environment.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):
        return Path(base) / "streamlog" / "profiles.toml"
    try:
        return Path.home() / ".config" / "streamlog" / "profiles.toml"
    except RuntimeError as error:
        raise CommandFailed(f"{error}; set XDG_CONFIG_HOME", EXIT_USAGE) from error


def load(path: Path) -> Profiles:
    """The profiles of a file; none when there is no file. Raises CommandFailed."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise CommandFailed(
            f"can not read the profiles in {path}: {error.strerror}", EXIT_USAGE
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path} is not TOML: {error}", EXIT_USAGE) from error
    profiles = content.get("profiles", {})
    bootstraps: dict[str, str] = {}
    for name, value in profiles.items() if isinstance(profiles, dict) else ():
        bootstraps[name] = _bootstrap_of(path, name, value)
    current = content.get("current")
    return Profiles(bootstraps, current if current in bootstraps else None)


def _bootstrap_of(path: Path, name: str, value: Any) -> str:
    bootstrap = value.get("bootstrap") if isinstance(value, dict) else None
    if not isinstance(bootstrap, str):
        raise CommandFailed(f'{path}: the profile {name!r} has no bootstrap = "…"', EXIT_USAGE)
    return bootstrap


def save(path: Path, profiles: Profiles) -> None:
    """Replace the file. Raises CommandFailed."""
    lines = ["# Written by 'streamlog profile'."]
    if profiles.current is not None:
        lines.append(f"current = {_quoted(profiles.current)}")
    for name in sorted(profiles.bootstraps):
        lines += [
            "",
            f"[profiles.{_quoted(name)}]",
            f"bootstrap = {_quoted(profiles.bootstraps[name])}",
        ]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp gives 0600, and the rename keeps it.
        descriptor, temporary = tempfile.mkstemp(prefix=".profiles-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CommandFailed(f"can not write the profiles in {path}: {error.strerror}") from error


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(
            character if character.isprintable() else f"\\U{ord(character):08x}"
            for character in escaped
        )
        + '"'
    )
