"""Records as lines, and lines as records."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.records.parser import (
    LineUnreadable,
    ParsedRecord,
    separator_parser,
    template_parser,
    value_parser,
    with_defaults,
    with_null,
)
from streamlog.cli.records.printer import (
    LETTERS,
    json_printer,
    raw_printer,
    template_printer,
)
from streamlog.client import ConsumerRecord

RECORD = ConsumerRecord(
    "orders",
    3,
    42,
    1_700_000_000_123,
    b"k\xff",
    "wört".encode(),
    (("a", b"1"), ("b", None), ("a", b"\x02")),
)
NULLS = ConsumerRecord("t", 0, 0, 0, None, None, ())


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("%t/%p@%o", b"orders/3@42"),
        (r"%k\t%v\n", "k\xff\twört\n".encode("latin-1").replace(b"\xf6", "ö".encode())),
        ("%T", b"1700000000123"),
        ("%T{ms}", b"1700000000123"),
        ("%T{s}", b"1700000000"),
        ("%T{iso}", b"2023-11-14T22:13:20.123Z"),
        ("%T{%F %H:%M:%S}", b"2023-11-14 22:13:20"),
        ("%k{hex} %k{base64}", b"6bff a/8="),
        ("%v{json}", '"wört"'.encode()),
        ("%K %V %H", b"2 5 3"),
        ("%h{a}", b"1,\x02"),
        ("%h{none}", b""),
        ("%h", b"a=1,b=,a=\x02"),
        ("%h{%k=%v{hex},}", b"a=31,b=,a=02,"),
        ("%h{%k={%v}}", b"a={1}b={}a={\x02}"),
        ("%i", b"1"),
        ("100%%", b"100%"),
        (r"\x41\0\\\r\q", b"A\0\\\r\\q"),
        ("", b""),
    ],
)
def test_fields(template: str, expected: bytes) -> None:
    """Every letter, with every form that it has."""
    assert template_printer(template)(RECORD) == expected


def test_every_letter_that_is_told_is_known() -> None:
    """And each can be printed for a record that has nothing."""
    for letter in LETTERS:
        template_printer(f"%{letter}")(NULLS)
    line = template_printer("%k|%v|%K|%V|%h|%k{json}|%v{hex}")(NULLS)
    assert line == b"||-1|-1||null|"


def test_records_are_numbered() -> None:
    """From one."""
    printer = template_printer("%i ")
    assert printer(RECORD) + printer(RECORD) == b"1 2 "


def test_a_time_that_no_calendar_has() -> None:
    """Is printed as its number, and does not end the command."""
    odd = RECORD._replace(timestamp_ms=2**62)
    assert template_printer("%T{iso}")(odd) == str(2**62).encode()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("%q", "%q is unknown; known are %t topic, %p partition, %o offset"),
        ("100%", "% is unknown"),
        ("%h{", "a brace is not closed"),
        ("%h{%x}", "%x is unknown; known are %k name, %v value"),
        ("%p{x}", "%p{x} takes nothing in braces"),
        ("%k{rot13}", "%k{rot13} is none of hex, base64, json"),
    ],
)
def test_templates_that_are_refused(template: str, words: str) -> None:
    """A usage error that lists what there is."""
    with pytest.raises(CommandFailed) as caught:
        template_printer(template)
    assert caught.value.exit_code == EXIT_USAGE
    assert words in caught.value.message


def test_json_says_what_is_base64() -> None:
    """Text is text, null is null, and bytes that are not UTF-8 have a field that says so."""
    line = json_printer(RECORD)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "topic": "orders",
        "partition": 3,
        "offset": 42,
        "timestamp_ms": 1_700_000_000_123,
        "key": "a/8=",
        "key_encoding": "base64",
        "value": "wört",
        "headers": [
            {"name": "a", "value": "1"},
            {"name": "b", "value": None},
            {"name": "a", "value": "\x02"},
        ],
    }
    assert json.loads(json_printer(NULLS))["value"] is None
    assert raw_printer(RECORD) == "wört".encode()
    assert raw_printer(NULLS) == b""


octets = st.none() | st.binary(max_size=20)


@given(
    key=octets,
    value=octets,
    headers=st.lists(st.tuples(st.text(min_size=1, max_size=5), octets), max_size=3),
    timestamp_ms=st.integers(0, 2**53),
)
def test_json_goes_there_and_back(
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
    timestamp_ms: int,
) -> None:
    """`consume -o json | produce -f json` copies a topic."""
    record = ConsumerRecord("t", 1, 2, timestamp_ms, key, value, tuple(headers))
    line = json_printer(record).removesuffix(b"\n")
    assert template_parser("json")(line) == ParsedRecord(
        key, value, headers or None, None, timestamp_ms
    )


@given(key=st.binary(max_size=20), value=st.binary(max_size=20))
def test_hex_goes_there_and_back(key: bytes, value: bytes) -> None:
    """One template prints and reads whatever bytes."""
    template = r"%k{hex}\t%T\t%v{base64}\n"
    line = template_printer(template)(ConsumerRecord("t", 1, 2, 7, key, value, ()))
    parsed = template_parser(template)(line.removesuffix(b"\n"))
    assert parsed == ParsedRecord(key, value, None, None, 7)


@pytest.mark.parametrize(
    ("template", "line", "expected"),
    [
        (r"%k\t%v\n", b"a\tb\tc", ParsedRecord(b"a", b"b\tc")),
        (r"%k: %v", b": ", ParsedRecord(b"", b"")),
        ("%p %T %v", b"3 77 x y", ParsedRecord(None, b"x y", None, 3, 77)),
        ("[%h{a}] %v (%h{b})", b"[1] x (2)", ParsedRecord(None, b"x", [("a", b"1"), ("b", b"2")])),
        ("%v%%", b"5%", ParsedRecord(None, b"5")),
    ],
)
def test_lines_by_a_template(template: str, line: bytes, expected: ParsedRecord) -> None:
    """A field ends where what follows it begins."""
    assert template_parser(template)(line) == expected


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("%k%v", "nothing stands between %k and %v"),
        ("%v %v", "a field occurs twice"),
        ("%k %k{hex}", "a field occurs twice"),
        ("%o %v", "%o is unknown; known are %k key"),
        ("%h %v", "%h needs the header's name"),
        ("%v{json}", "%v{json} is none of hex, base64"),
        (r"%k\n%v\n", "records are lines"),
        ("text", "it has no field"),
        ("", "it has no field"),
    ],
)
def test_templates_that_read_nothing(template: str, words: str) -> None:
    """A usage error before anything is read."""
    with pytest.raises(CommandFailed) as caught:
        template_parser(template)
    assert caught.value.exit_code == EXIT_USAGE
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        (r"%k\t%v\n", b"plain", r"it does not look like '%k\\t%v\\n'"),
        ("%p %v", b"x y", "it does not look like"),
        ("%v{hex}", b"xyz", "its value is no hex"),
        ("%k{base64} %v", b"? y", "its key is no base64"),
        ("json", b"{", "it is no JSON"),
        ("json", b"[1]", "it is no JSON object"),
        ("json", b"{}", 'its "value" is missing'),
        ("json", b'{"value": "?", "value_encoding": "base64"}', 'its "value" is no base64'),
        ("json", b'{"value": "x", "timestamp_ms": "1"}', '"timestamp_ms" is no whole number'),
        ("json", b'{"value": "x", "headers": {"a": 1}}', '"headers" is no list'),
        ("json", b'{"value": "x", "headers": [["a", "1"]]}', "a header has no name"),
        ("json", b'{"value": "\\ud800"}', "half a surrogate pair"),
        ("json", b"\xff", "it is no JSON"),
        ("json", b"[" * 100_000, "it is no JSON"),
    ],
)
def test_lines_that_are_no_records(template: str, line: bytes, words: str) -> None:
    """Said of the line; whoever reads it adds its number."""
    with pytest.raises(LineUnreadable) as caught:
        template_parser(template)(line)
    assert words in str(caught.value)


def test_json_values_that_are_no_text() -> None:
    """Are stored as JSON: what another program wrote need not be quoted twice."""
    parsed = template_parser("json")(b'{"key": 7, "value": {"a": [1, true]}}')
    assert parsed == ParsedRecord(b"7", b'{"a": [1, true]}')


def test_lines_without_a_template() -> None:
    """Whole lines, key and value, nulls, and what the options say of every record."""
    assert value_parser(None)(b"x:y") == ParsedRecord(None, b"x:y")
    assert value_parser(b"k")(b"x") == ParsedRecord(b"k", b"x")
    parse = separator_parser(b"::")
    assert parse(b"a::b::c") == ParsedRecord(b"a", b"b::c")
    assert parse(b"plain") == ParsedRecord(None, b"plain")
    nulls = with_null(parse, b"NULL")
    assert nulls(b"NULL::x") == ParsedRecord(None, b"x")
    assert nulls(b"x::NULL") == ParsedRecord(b"x", None)
    assert nulls(b"NULL") == ParsedRecord(None, None)
    said = with_defaults(template_parser("%p %T %v"), [("h", b"1")], 9, 9)
    assert said(b"1 2 x") == ParsedRecord(None, b"x", [("h", b"1")], 1, 2)
    silent = with_defaults(value_parser(None), [], 9, 8)
    assert silent(b"x") == ParsedRecord(None, b"x", None, 9, 8)
