"""A record as bytes to print: by a template, as a JSON object, or its value alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.template import Field, Literal, Piece, parse_template

if TYPE_CHECKING:
    from streamlog.client import ConsumerRecord

Printer = Callable[["ConsumerRecord"], bytes]
Header = tuple[str, bytes | None]

LETTERS: Final = {
    "t": "topic",
    "p": "partition",
    "o": "offset",
    "T": "time in Unix milliseconds; also %T{s}, %T{iso}, %T{%F %X} as strftime has it",
    "k": "key; also %k{hex}, %k{base64}, %k{json}",
    "v": "value; as the key",
    "K": "size of the key in bytes",
    "V": "size of the value in bytes",
    "h": "headers; %h{NAME}: one of them, %h{%k=%v,}: each of them so",
    "H": "number of headers",
    "i": "number of the record, from 1",
}
_HEADER_LETTERS: Final = {"k": "name", "v": "value"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OPTION: Final = "--format"


def template_printer(template: str) -> Printer:
    """Prints by a template. Raises CommandFailed when it is wrong."""
    writers = [_writer(piece) for piece in parse_template(_OPTION, template, LETTERS)]
    if len(writers) == 1:
        return writers[0]
    return lambda record: b"".join([write(record) for write in writers])


def raw_printer(record: ConsumerRecord) -> bytes:
    """The value, and nothing that says where it ends."""
    return record.value or b""


def json_printer(record: ConsumerRecord) -> bytes:
    """One object on a line.

    Text is a string and null is null; bytes that are not UTF-8 are base64, and a field beside
    them ("value_encoding": "base64") says so. `produce --format json` reads it.
    """
    content: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        **text_of("key", record.key),
        **text_of("value", record.value),
        "headers": [{"name": name, **text_of("value", value)} for name, value in record.headers],
    }
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def text_of(field: str, value: bytes | None) -> dict[str, str | None]:
    """A field of a JSON object, and the one that says so when it is base64."""
    if value is None:
        return {field: None}
    try:
        return {field: value.decode()}
    except UnicodeDecodeError:
        return {field: base64.b64encode(value).decode(), f"{field}_encoding": "base64"}


def _writer(piece: Piece) -> Printer:
    if isinstance(piece, Literal):
        text = piece.text
        return lambda _record: text
    letter, argument = piece.letter, piece.argument
    if argument is not None and letter not in "Tkvh":
        raise CommandFailed(f"{_OPTION}: {piece} takes nothing in braces", EXIT_USAGE)
    match letter:
        case "t":
            return lambda record: record.topic.encode()
        case "p":
            return lambda record: b"%d" % record.partition
        case "o":
            return lambda record: b"%d" % record.offset
        case "T":
            return _time_writer(argument)
        case "k":
            encode = _encoder(piece)
            return lambda record: encode(record.key)
        case "v":
            encode = _encoder(piece)
            return lambda record: encode(record.value)
        case "K":
            return lambda record: b"%d" % (-1 if record.key is None else len(record.key))
        case "V":
            return lambda record: b"%d" % (-1 if record.value is None else len(record.value))
        case "h":
            return _headers_writer(argument)
        case "H":
            return lambda record: b"%d" % len(record.headers)
        case _:
            numbers = count(1)
            return lambda _record: b"%d" % next(numbers)


def _time_writer(form: str | None) -> Printer:
    """Times are in UTC; one that no calendar has is printed as its number."""
    if form in {None, "ms"}:
        return lambda record: b"%d" % record.timestamp_ms
    if form == "s":
        return lambda record: b"%d" % (record.timestamp_ms // 1_000)

    def write(record: ConsumerRecord) -> bytes:
        try:
            moment = _EPOCH + timedelta(milliseconds=record.timestamp_ms)
        except OverflowError:
            return b"%d" % record.timestamp_ms
        if form == "iso":
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
        return moment.strftime(form or "").encode()

    return write


def _encoder(piece: Field) -> Callable[[bytes | None], bytes]:
    match piece.argument:
        case None:
            return lambda value: value or b""
        case "hex":
            return lambda value: (value or b"").hex().encode()
        case "base64":
            return lambda value: base64.b64encode(value or b"")
        case "json":
            return _json_text
        case _:
            raise CommandFailed(f"{_OPTION}: {piece} is none of hex, base64, json", EXIT_USAGE)


def _json_text(value: bytes | None) -> bytes:
    """A JSON string, or null; what is not UTF-8 is replaced."""
    text = None if value is None else value.decode(errors="replace")
    return json.dumps(text, ensure_ascii=False).encode()


def _headers_writer(argument: str | None) -> Printer:
    if argument is not None and "%" not in argument:
        name = argument
        return lambda record: b",".join(
            [value or b"" for each, value in record.headers if each == name]
        )
    pieces = parse_template(
        f"{_OPTION} %h{{…}}", "%k=%v" if argument is None else argument, _HEADER_LETTERS
    )
    writers = [_header_writer(piece) for piece in pieces]
    separator = b"," if argument is None else b""

    def write(record: ConsumerRecord) -> bytes:
        return separator.join([_header(header, writers) for header in record.headers])

    return write


def _header(header: Header, writers: Sequence[Callable[[Header], bytes]]) -> bytes:
    return b"".join([write(header) for write in writers])


def _header_writer(piece: Piece) -> Callable[[Header], bytes]:
    if isinstance(piece, Literal):
        text = piece.text
        return lambda _header: text
    if piece.letter == "k":
        return lambda header: header[0].encode()
    encode = _encoder(piece)
    return lambda header: encode(header[1])
