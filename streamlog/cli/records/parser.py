r"""A line of input as a record: all of it, key and value, by a template, or a JSON object.

Templates are those of `record_template`, with the fields that a record can be given. A field ends
where the text behind it begins for the first time; the last one ends with the line.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.template import Field, Literal, Piece, parse_template

Headers = list[tuple[str, bytes | None]]

JSON: Final = "json"
LETTERS: Final = {
    "k": "key; also %k{hex}, %k{base64}",
    "v": "value; as the key",
    "p": "partition",
    "T": "time in Unix milliseconds",
    "h": "value of a header: %h{NAME}",
}
_OPTION: Final = "--format"
_NUMBER: Final = rb"([0-9]{1,18})"


class ParsedRecord(NamedTuple):
    """What a line says; None: it says nothing of it, or null."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    partition: int | None = None
    timestamp_ms: int | None = None


class LineUnreadable(Exception):
    """The line is no record; the message says why, and does not repeat the line."""


Parser = Callable[[bytes], ParsedRecord]


def value_parser(key: bytes | None) -> Parser:
    """The line is the value; all records have one key, or none."""
    return lambda line: ParsedRecord(key, line)


def separator_parser(separator: bytes) -> Parser:
    """Key before the separator, value behind it; a line without it has no key."""

    def parse(line: bytes) -> ParsedRecord:
        head, found, rest = line.partition(separator)
        return ParsedRecord(head, rest) if found else ParsedRecord(None, line)

    return parse


def with_null(parse: Parser, marker: bytes) -> Parser:
    """Keys and values that are the marker are null."""

    def parse_nulls(line: bytes) -> ParsedRecord:
        record = parse(line)
        if record.key == marker:
            record = record._replace(key=None)
        return record._replace(value=None) if record.value == marker else record

    return parse_nulls


def with_defaults(
    parse: Parser, headers: Headers, partition: int | None, timestamp_ms: int | None
) -> Parser:
    """Headers for every record; partition and time for those whose line does not say."""

    def parse_complete(line: bytes) -> ParsedRecord:
        record = parse(line)
        return record._replace(
            headers=[*(record.headers or ()), *headers] or None,
            partition=partition if record.partition is None else record.partition,
            timestamp_ms=timestamp_ms if record.timestamp_ms is None else record.timestamp_ms,
        )

    return parse_complete


def template_parser(template: str) -> Parser:
    """By a template, or what `consume -o json` prints when it is "json".

    Raises CommandFailed; the parser raises LineUnreadable.
    """
    if template == JSON:
        return parse_json
    pieces = _checked(template)
    fields = [piece for piece in pieces if isinstance(piece, Field)]
    pattern = re.compile(b"".join(map(_pattern, pieces)), re.DOTALL)

    def parse(line: bytes) -> ParsedRecord:
        match = pattern.fullmatch(line)
        if match is None:
            raise LineUnreadable(f"it does not look like {template!r}")
        record = ParsedRecord(None, None)
        headers: Headers = []
        for field, text in zip(fields, match.groups(), strict=True):
            match field.letter:
                case "k":
                    record = record._replace(key=_decode(text, field))
                case "v":
                    record = record._replace(value=_decode(text, field))
                case "p":
                    record = record._replace(partition=int(text))
                case "T":
                    record = record._replace(timestamp_ms=int(text))
                case _:
                    headers.append((field.argument or "", text))
        return record._replace(headers=headers) if headers else record

    return parse


def _checked(template: str) -> list[Piece]:
    """The pieces without the newline at the end. Raises CommandFailed."""
    pieces = parse_template(_OPTION, template, LETTERS)
    if pieces and isinstance(pieces[-1], Literal) and pieces[-1].text.endswith(b"\n"):
        last = Literal(pieces[-1].text[:-1])
        pieces = [*pieces[:-1], *([last] if last.text else [])]
    wrong = ""
    for before, piece in zip([None, *pieces], pieces, strict=False):
        if isinstance(piece, Literal):
            wrong = wrong or ("records are lines: \\n is at its end only" * (b"\n" in piece.text))
        elif isinstance(before, Field):
            wrong = wrong or f"nothing stands between {before} and {piece}"
        elif piece.letter == "h" and not piece.argument:
            wrong = wrong or "%h needs the header's name: %h{NAME}"
        elif piece.letter in "kv" and piece.argument not in {None, "hex", "base64"}:
            wrong = wrong or f"{piece} is none of hex, base64"
    named = [str(piece) for piece in pieces if isinstance(piece, Field)]
    letters = [name[:2] if name[1] in "kv" else name for name in named]
    if not named:
        wrong = wrong or "it has no field"
    if len(set(letters)) < len(letters):
        wrong = wrong or "a field occurs twice"
    if wrong:
        raise CommandFailed(f"{_OPTION} {template!r}: {wrong}", EXIT_USAGE)
    return pieces


def _pattern(piece: Piece) -> bytes:
    if isinstance(piece, Literal):
        return re.escape(piece.text)
    return _NUMBER if piece.letter in "pT" else b"(.*?)"


def _decode(text: bytes, field: Field) -> bytes:
    try:
        if field.argument == "hex":
            return bytes.fromhex(text.decode())
        return base64.b64decode(text, validate=True) if field.argument == "base64" else text
    except (ValueError, binascii.Error):
        raise LineUnreadable(
            f"its {LETTERS[field.letter].partition(';')[0]} is no {field.argument}"
        ) from None


def parse_json(line: bytes) -> ParsedRecord:
    """An object as `consume -o json` prints it; its topic, partition and offset are left aside.

    Raises LineUnreadable.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineUnreadable(f"it is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise LineUnreadable("it is no JSON object")
    if "value" not in content:
        raise LineUnreadable('its "value" is missing')
    timestamp_ms = content.get("timestamp_ms")
    if timestamp_ms is not None and (
        not isinstance(timestamp_ms, int) or isinstance(timestamp_ms, bool)
    ):
        raise LineUnreadable('its "timestamp_ms" is no whole number')
    given = content.get("headers") or []
    if not isinstance(given, list):
        raise LineUnreadable('its "headers" is no list')
    headers: Headers = []
    for header in given:
        if not isinstance(header, dict) or not isinstance(header.get("name"), str):
            raise LineUnreadable("a header has no name")
        headers.append((header["name"], _bytes_of(header, "value")))
    return ParsedRecord(
        _bytes_of(content, "key"),
        _bytes_of(content, "value"),
        headers or None,
        None,
        timestamp_ms,
    )


def _bytes_of(content: dict[str, Any], field: str) -> bytes | None:
    """Text is taken as UTF-8; anything else but null is JSON again."""
    value = content.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).encode()
    if content.get(f"{field}_encoding") == "base64":
        try:
            return base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            raise LineUnreadable(f'its "{field}" is no base64') from None
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise LineUnreadable(f'its "{field}" holds half a surrogate pair') from None
