r"""Templates of records, `%k\t%v\n`: what stands between the fields, and the fields.

`consume` prints records by them and `produce` reads lines by them. The letters are those of rpk
where it has the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed

_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{2}|[ntr0\\])")
_ESCAPED: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0", b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Literal:
    """Text as it is."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Field:
    """A percent sign, a letter, and what stands in braces behind them, if anything does."""

    letter: str
    argument: str | None = None

    def __str__(self) -> str:
        return f"%{self.letter}" + ("" if self.argument is None else f"{{{self.argument}}}")


Piece = Literal | Field


def parse_template(option: str, template: str, letters: Mapping[str, str]) -> list[Piece]:
    r"""The pieces in order; neighbouring literals are one.

    Args:
        option: Whose value the template is, for errors.
        template: May contain \n, \t, \r, \0, \xHH and \\; %% is a percent sign.
        letters: What each known letter stands for.

    Raises CommandFailed, with all known letters, for another one.
    """
    pieces: list[Piece] = []
    text = ""
    position = 0
    while position < len(template):
        if template[position] != "%":
            text += template[position]
            position += 1
            continue
        letter = template[position + 1 : position + 2]
        position += 2
        if letter == "%":
            text += "%"
            continue
        if letter not in letters or not letter:
            known = ", ".join(f"%{each} {meaning}" for each, meaning in letters.items())
            raise CommandFailed(
                f"{option} {template!r}: %{letter} is unknown; known are {known}, %% percent",
                EXIT_USAGE,
            )
        argument = None
        if template.startswith("{", position):
            argument = _braces(option, template, position)
            position += len(argument) + 2
        if text:
            pieces.append(Literal(_unescape(text)))
            text = ""
        pieces.append(Field(letter, argument))
    if text:
        pieces.append(Literal(_unescape(text)))
    return pieces


def _braces(option: str, template: str, position: int) -> str:
    """What stands between the brace at the position and the one that closes it."""
    depth = 0
    for end in range(position, len(template)):
        depth += {"{": 1, "}": -1}.get(template[end], 0)
        if depth == 0:
            return template[position + 1 : end]
    raise CommandFailed(f"{option} {template!r}: a brace is not closed", EXIT_USAGE)


def _unescape(text: str) -> bytes:
    def replacement(match: re.Match[bytes]) -> bytes:
        code: bytes = match[1]
        return bytes.fromhex(code[1:].decode()) if code.startswith(b"x") else _ESCAPED[code]

    return _ESCAPE.sub(replacement, text.encode(errors="surrogateescape"))
