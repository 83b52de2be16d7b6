"""From a pattern's text to its syntax tree. The language is in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import PATTERN_CHARACTERS_MAX, PATTERN_NESTING_MAX

_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
ALPHABET: Final = frozenset(_LOWER + _LOWER.upper() + _DIGITS + "._-")
"""The characters of topic names."""
REPETITIONS_MAX: Final = 249
"""A name is not longer."""

_CLASSES: Final = {
    "d": frozenset(_DIGITS),
    "w": frozenset(_LOWER + _LOWER.upper() + _DIGITS + "_"),
}
_ESCAPABLE: Final = frozenset("._-\\^$*+?()[]{}|")


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of a set."""

    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Chain:
    """One part after the other; without parts, the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any of the branches."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`least` to `most` times; `most` None: any number."""

    part: Node
    least: int
    most: int | None


Node = Characters | Chain | Choice | Repeat


def parse(text: str) -> Node:
    """The tree of a pattern. Raises INVALID_PATTERN with the place."""
    if not 1 <= len(text) <= PATTERN_CHARACTERS_MAX:
        raise GroupError(
            Reason.INVALID_PATTERN,
            f"a pattern of {len(text)} characters is out of range: 1 to {PATTERN_CHARACTERS_MAX}",
            {"length": str(len(text)), "maximum": str(PATTERN_CHARACTERS_MAX)},
        )
    parser = _Parser(text)
    node = parser.choice(0)
    if parser.at < parser.end:
        parser.refuse("')' closes nothing")
    return node


class _Parser:
    """Recursive descent; `at` is the place in the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 1 if text.startswith("^") else 0
        anchored = text.endswith("$") and not text.endswith("\\$")
        self.end = len(text) - 1 if anchored else len(text)

    def refuse(self, why: str) -> NoReturn:
        raise GroupError(
            Reason.INVALID_PATTERN,
            f"pattern {self._text!a} is not understood at character {self.at}: {why}",
            {"pattern": ascii(self._text), "at": str(self.at)},
        )

    def choice(self, depth: int) -> Node:
        if depth > PATTERN_NESTING_MAX:
            self.refuse(f"groups are nested deeper than {PATTERN_NESTING_MAX}")
        branches = [self._chain(depth)]
        while self._take("|"):
            branches.append(self._chain(depth))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _chain(self, depth: int) -> Node:
        parts: list[Node] = []
        while (character := self._peek()) and character not in "|)":
            parts.append(self._repeated(self._atom(depth)))
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        least, most = 1, 1
        match self._peek():
            case "*":
                least, most = 0, -1
            case "+":
                least, most = 1, -1
            case "?":
                least, most = 0, 1
            case "{":
                least, most = self._bounds()
            case _:
                return part
        self.at += 1
        if self._peek() and self._peek() in "*+?{":
            self.refuse("a repetition follows a repetition")
        return Repeat(part, least, None if most < 0 else most)

    def _bounds(self) -> tuple[int, int]:
        """Of {m}, {m,} or {m,n}; -1 stands for no bound. Stops at the closing brace."""
        close = self._text.find("}", self.at)
        inner = self._text[self.at + 1 : close] if close >= 0 else ""
        low, comma, high = inner.partition(",")
        if not low.isdecimal() or not low.isascii() or (high and not high.isdecimal()):
            self.refuse("a repetition is {m}, {m,} or {m,n}")
        least = int(low)
        most = int(high) if high else (-1 if comma else least)
        if least > REPETITIONS_MAX or most > REPETITIONS_MAX or 0 <= most < least:
            self.refuse(f"repetitions go from 0 to {REPETITIONS_MAX}, the smaller one first")
        self.at = close
        return least, most

    def _atom(self, depth: int) -> Node:
        match self._text[self.at]:
            case "(":
                return self._group(depth)
            case "[":
                return Characters(self._set())
            case "\\":
                return Characters(self._escape())
            case ".":
                self.at += 1
                return Characters(ALPHABET)
            case "*" | "+" | "?" | "{":
                self.refuse("there is nothing to repeat")
            case _:
                pass
        return Characters(frozenset(self._literal()))

    def _group(self, depth: int) -> Node:
        self.at += 1
        if self._take("?") and not self._take(":"):
            self.refuse("only (...) and (?:...) are groups")
        node = self.choice(depth + 1)
        if not self._take(")"):
            self.refuse("')' is missing")
        return node

    def _literal(self) -> str:
        character = self._text[self.at]
        if character not in ALPHABET:
            self.refuse(f"{character!a} is in no topic name, and means nothing here")
        self.at += 1
        return character

    def _escape(self) -> frozenset[str]:
        self.at += 1
        character = self._peek()
        if character in _CLASSES:
            self.at += 1
            return _CLASSES[character]
        if not character or character not in _ESCAPABLE:
            self.refuse("after \\ comes d, w or a sign")
        if character not in ALPHABET:
            self.refuse(f"{character!a} is in no topic name")
        self.at += 1
        return frozenset(character)

    def _set(self) -> frozenset[str]:
        self.at += 1
        negated = self._take("^")
        found: list[str] = []
        while not self._take("]"):
            if not self._peek():
                self.refuse("']' is missing")
            if self._peek() == "\\":
                found += sorted(self._escape())
                continue
            first = self._literal()
            last = first
            if self._text[self.at : self.at + 1] == "-" and self._text[self.at + 1 :][:1] != "]":
                self.at += 1
                if not self._peek() or self._peek() == "\\":
                    self.refuse("a range ends with a character")
                last = self._literal()
            if first > last:
                self.refuse(f"the range {first}-{last} is empty")
            found += [c for c in sorted(ALPHABET) if first <= c <= last]
        if not found:
            self.refuse("an empty set matches nothing")
        return ALPHABET - frozenset(found) if negated else frozenset(found)

    def _peek(self) -> str:
        return self._text[self.at] if self.at < self.end else ""

    def _take(self, character: str) -> bool:
        if self._peek() == character:
            self.at += 1
            return True
        return False
