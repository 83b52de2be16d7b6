"""Positions in files: what `describe` writes, what people write, and what is neither."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.groups import offsets_file
from streamlog.cli.groups.offsets_file import parse_offsets, read_offsets

WANTED = {("orders", 0): 17, ("pay.ments", 3): 0}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(
            {
                "group": "g",
                "partitions": [
                    {"topic": "orders", "partition": 0, "offset": 17, "lag_records": 3},
                    {"topic": "orders", "partition": 1, "offset": None},
                    {"topic": "pay.ments", "partition": 3, "offset": 0, "metadata": "x"},
                ],
            }
        ),
        (
            '[{"topic":"orders","partition":"0","offset":"17"},'
            '{"topic":"pay.ments","partition":3,"offset":0}]'
        ),
        "orders,0,17\npay.ments,3,0\n",
        "topic,partition,offset\norders,0,17\n\norders,1,\npay.ments,3,0\n",
        (
            "# by hand\n lag_records, offset ,Topic,partition\r\n3,17,orders,0\r\n-,-,orders,1\r\n"
            "1,0,pay.ments,3\r\n"
        ),
        '"orders","0","17"\n"pay.ments","3","0"',
    ],
    ids=["described", "list", "lines", "header", "other columns", "quoted"],
)
def test_forms(text: str) -> None:
    """All of these say the same."""
    assert parse_offsets(text, "f") == WANTED
    assert parse_offsets(f"\n{text}", "f") == WANTED


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "f: it is empty"),
        (" \n\t\n", "f: it is empty"),
        ("[]", "f: it names no position"),
        ("topic,partition,offset\n", "f: it names no position"),
        ("# nothing\n", "f: it names no position"),
        ('{"partitions": []}', "f: it names no position"),
        ("orders,0,", "f: it names no position"),
        ("{", "f: no JSON"),
        ("[" * 100_000, "f: no JSON"),
        ('{"group": "g"}', "neither a list of positions nor an object with 'partitions'"),
        ("[3]", "f entry 1: no object"),
        ('[{"topic": "t", "partition": true, "offset": 1}]', "f entry 1: the partition is True"),
        ('[{"topic": "t", "partition": 0.0, "offset": 1}]', "f entry 1: the partition is 0.0"),
        ('[{"topic": 3, "partition": 0, "offset": 1}]', "f entry 1: the topic is 3"),
        ('[{"partition": 0, "offset": 1}]', "f entry 1: the topic is None"),
        ("orders,0", "f line 1: not topic,partition,offset"),
        ("orders,0,17\norders,one,2", "f line 2: the partition is 'one'"),
        ("orders,0,-1", "f line 1: the offset is '-1', no whole number, 0 to"),
        ("orders,0,9223372036854775808", "f line 1: the offset is '9223372036854775808'"),
        ("orders,0,1\norders,0,2", "f line 2: orders/0 is there twice"),
        ("garbage", "f line 1: not topic,partition,offset"),
        ("\0\0\0", "f line 1: not topic"),
    ],
)
def test_what_is_no_file_of_positions(text: str, what: str) -> None:
    """Is refused as a wrong command line, with the place."""
    with pytest.raises(CommandFailed) as caught:
        parse_offsets(text, "f")
    assert what in caught.value.message
    assert caught.value.exit_code == EXIT_USAGE


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a path, with a byte order mark too, and from standard input; what can not be read, is too
    large or is no text is refused by its name."""
    path = tmp_path / "offsets.csv"
    path.write_bytes(b"\xef\xbb\xbforders,0,17\npay.ments,3,0\n")
    assert read_offsets(str(path)) == WANTED
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert read_offsets("-") == WANTED
    for bad, what in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(CommandFailed, match=what):
            read_offsets(str(bad))
    path.write_bytes(b"orders,0,\xff")
    with pytest.raises(CommandFailed, match="no UTF-8 at byte 9"):
        read_offsets(str(path))
    monkeypatch.setattr(offsets_file, "FILE_BYTES_MAX", 5)
    with pytest.raises(CommandFailed, match="larger than 5 bytes"):
        read_offsets(str(path))
