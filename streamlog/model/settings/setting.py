"""One setting: what its values are, which are allowed, and what it means.

`topic.py` and `node.py` beside this module list the settings; everything else (parsing of text,
range checks, documentation, `topic describe`) follows from those lists.

Invariant: a value that a `parse` or `check` returned is within the setting's range, and
`parse(format(value)) == value`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from streamlog.model.errors import Reason, StreamlogError

TEXT_CHARACTERS_MAX = 255
"""Longest value of a text setting, and longest part of a value that an error repeats."""

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


class Setting(Protocol):
    """What the lists, the parsers and the documentation need of a setting."""

    @property
    def key(self) -> str:
        """Lower case words joined by "." as operators write it."""
        ...

    @property
    def documentation(self) -> str:
        """What it means; one or two sentences."""
        ...

    @property
    def default(self) -> object:
        """The value when none is given."""
        ...

    @property
    def unit(self) -> str:
        """Unit of a number, or empty."""
        ...

    @property
    def live(self) -> bool:
        """A change takes effect while the node runs."""
        ...

    @property
    def allowed(self) -> str:
        """The allowed values, for people."""
        ...

    def parse(self, text: str) -> object:
        """The value that the text stands for. Raises StreamlogError(INVALID_CONFIG)."""
        ...

    def check(self, value: object) -> object:
        """The value itself when it is allowed. Raises StreamlogError(INVALID_CONFIG)."""
        ...

    def format(self, value: object) -> str:
        """The text that `parse` reads back."""
        ...


def refusal(key: str, value: object, allowed: str) -> StreamlogError:
    """The error for a value outside the range; names key, value and range."""
    shown = str(value)
    if len(shown) > TEXT_CHARACTERS_MAX:
        shown = shown[:TEXT_CHARACTERS_MAX] + "…"
    return StreamlogError(
        Reason.INVALID_CONFIG,
        f"{key} = {shown!r} is not allowed: {allowed}",
        {"key": key, "value": shown, "allowed": allowed},
    )


@dataclass(frozen=True, slots=True)
class IntegerSetting:
    """A whole number within [minimum, maximum], or a special value beside the range."""

    key: str
    default: int
    minimum: int
    maximum: int
    unit: str
    documentation: str
    unlimited: int | None = None
    """A value outside the range that means "no limit"."""
    live: bool = False

    @property
    def allowed(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        special = "" if self.unlimited is None else f", or {self.unlimited} for no limit"
        return f"{self.minimum} to {self.maximum}{unit}{special}"

    def parse(self, text: str) -> int:
        # int() alone would take "1_000", " 5" and digits of other scripts.
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            raise refusal(self.key, text, f"a whole number, {self.allowed}")
        return self.check(int(text))

    def check(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise refusal(self.key, value, f"a whole number, {self.allowed}")
        if value != self.unlimited and not self.minimum <= value <= self.maximum:
            raise refusal(self.key, value, self.allowed)
        return value

    def format(self, value: object) -> str:
        return str(self.check(value))


@dataclass(frozen=True, slots=True)
class BooleanSetting:
    """True or false."""

    key: str
    default: bool
    documentation: str
    unit: str = ""
    live: bool = False

    @property
    def allowed(self) -> str:
        return "true or false"

    def parse(self, text: str) -> bool:
        lower = text.lower()
        if lower in _TRUE:
            return True
        if lower in _FALSE:
            return False
        raise refusal(self.key, text, self.allowed)

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise refusal(self.key, value, self.allowed)
        return value

    def format(self, value: object) -> str:
        return "true" if self.check(value) else "false"


@dataclass(frozen=True, slots=True)
class ChoiceSetting:
    """One of a few words."""

    key: str
    default: str
    choices: tuple[str, ...]
    documentation: str
    unit: str = ""
    live: bool = False

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.choices)

    def parse(self, text: str) -> str:
        return self.check(text)

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise refusal(self.key, value, self.allowed)
        return value

    def format(self, value: object) -> str:
        return self.check(value)


@dataclass(frozen=True, slots=True)
class TextSetting:
    """Printable text of bounded length."""

    key: str
    default: str
    documentation: str
    characters_max: int = TEXT_CHARACTERS_MAX
    unit: str = ""
    live: bool = False

    @property
    def allowed(self) -> str:
        return f"printable text of at most {self.characters_max} characters"

    def parse(self, text: str) -> str:
        return self.check(text)

    def check(self, value: object) -> str:
        if (
            not isinstance(value, str)
            or len(value) > self.characters_max
            or not value.isprintable()
        ):
            raise refusal(self.key, value, self.allowed)
        return value

    def format(self, value: object) -> str:
        return self.check(value)


def unknown_key(key: str, known: Iterable[str], of_what: str) -> StreamlogError:
    """The error for a key that no setting has; names those that look like it."""
    keys = sorted(known)
    near = get_close_matches(key, keys, n=3, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(near) + "?"
    else:
        hint = "known settings: " + ", ".join(keys)
    shown = key if len(key) <= TEXT_CHARACTERS_MAX else key[:TEXT_CHARACTERS_MAX] + "…"
    return StreamlogError(
        Reason.INVALID_CONFIG,
        f"{shown!r} is not a setting of {of_what}; {hint}",
        {"key": shown, "near": ",".join(near)},
    )


def parse_settings(
    values: Mapping[str, str], settings: Mapping[str, Setting], of_what: str
) -> dict[str, object]:
    """Values by key, parsed. Raises StreamlogError(INVALID_CONFIG) for the first bad one."""
    parsed: dict[str, object] = {}
    for key in sorted(values):
        setting = settings.get(key)
        if setting is None:
            raise unknown_key(key, settings, of_what)
        parsed[key] = setting.parse(values[key])
    return parsed


def field_of(key: str) -> str:
    """Name of the dataclass field that holds a setting: "retention.ms" is `retention_ms`."""
    return key.replace(".", "_").replace("-", "_")
