"""Positions in a file, for `streamlog group reset --from-file`.

| form | what it is |
|---|---|
| JSON | what `group describe -o json` and `group reset -o json` write, or a list of objects with `topic`, `partition` and `offset`; other keys are passed over |
| CSV | what `group describe -o csv` writes, or lines of topic,partition,offset; with a header the columns may stand in any order; lines that begin with # are comments |

A partition without an offset (null, empty or -) is passed over: nothing was committed there.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.positions import OFFSET_MAX

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
COLUMNS: Final = ("topic", "partition", "offset")
STANDARD_INPUT: Final = "-"

Offsets = dict[tuple[str, int], int]


def read_offsets(path: str) -> Offsets:
    """Offsets by topic and partition, from a file or, by the name -, from standard input. Raises
    CommandFailed, which names the place."""
    where = "standard input" if path == STANDARD_INPUT else path
    try:
        if path == STANDARD_INPUT:
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise CommandFailed(f"{where}: {error.strerror or error}", EXIT_USAGE) from error
    if len(data) > FILE_BYTES_MAX:
        raise _wrong(where, f"larger than {FILE_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(where, f"no UTF-8 at byte {error.start}") from error
    return parse_offsets(text, where)


def parse_offsets(text: str, where: str) -> Offsets:
    """As `read_offsets`."""
    if not text.strip():
        raise _wrong(where, "it is empty")
    is_json = text.lstrip()[0] in "[{"
    found: Offsets = {}
    for place, row in _from_json(text, where) if is_json else _from_csv(text, where):
        pair, offset = _position(f"{where} {place}", row)
        if offset is None:
            continue
        if pair in found:
            raise _wrong(f"{where} {place}", f"{pair[0]}/{pair[1]} is there twice")
        found[pair] = offset
    if not found:
        raise _wrong(where, "it names no position")
    return found


def _from_json(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(where, f"no JSON: {error}") from error
    rows = content.get("partitions") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise _wrong(where, "neither a list of positions nor an object with 'partitions'")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise _wrong(f"{where} entry {number}", "no object")
        yield f"entry {number}", row


def _from_csv(text: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(text.splitlines())
    columns: list[str] | None = None
    try:
        for cells in reader:
            line = f"line {reader.line_num}"
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            values = [cell.strip() for cell in cells]
            if columns is None:
                columns = [value.lower() for value in values]
                if set(COLUMNS) <= set(columns):
                    continue
                columns = list(COLUMNS)
            if len(values) < len(COLUMNS):
                raise _wrong(f"{where} {line}", "not topic,partition,offset")
            yield line, dict(zip(columns, values, strict=False))
    except csv.Error as error:
        raise _wrong(where, f"no CSV: {error}") from error


def _position(place: str, row: dict[str, Any]) -> tuple[tuple[str, int], int | None]:
    topic, offset = row.get("topic"), row.get("offset")
    partition = _number(row.get("partition"))
    if not isinstance(topic, str) or not topic:
        raise _wrong(place, f"the topic is {topic!r}")
    if partition is None:
        raise _wrong(place, f"the partition is {row.get('partition')!r}, no whole number")
    if offset is None or offset in {"", "-"}:
        return (topic, partition), None
    number = _number(offset)
    if number is None or number > OFFSET_MAX:
        raise _wrong(place, f"the offset is {offset!r}, no whole number, 0 to {OFFSET_MAX}")
    return (topic, partition), number


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value):
        return int(value)
    return None


def _wrong(where: str, what: str) -> CommandFailed:
    return CommandFailed(f"{where}: {what}", EXIT_USAGE)
