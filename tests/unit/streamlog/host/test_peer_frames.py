"""The bytes of direct streams are what the document says, however they are cut on the way."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.ports import CallFailed, StatusCode
from streamlog.host.peer_frames import (
    DETAILS_BYTES_MAX,
    MESSAGE_CHARACTERS_MAX,
    FrameReader,
    FrameType,
    MalformedStream,
    MessageTooLarge,
    client_preface,
    end_frame,
    frame_header,
    read_client_preface,
    read_end,
)

LIMIT = 1 << 20
_SIZES = st.one_of(st.integers(0, 20), st.integers(0, 20_000))


def message(payload: bytes) -> bytes:
    return frame_header(FrameType.MESSAGE, len(payload)) + payload


@given(
    sizes=st.lists(_SIZES, max_size=8),
    cuts=st.lists(st.integers(0, 100_000), max_size=30),
    seed=st.integers(0, 250),
)
def test_any_chunking_yields_the_same_messages(
    sizes: list[int], cuts: list[int], seed: int
) -> None:
    """The frames are those that were written, whatever the pieces they arrive in."""
    payloads = [bytes((seed + n + i) % 251 for i in range(size)) for n, size in enumerate(sizes)]
    stream = b"".join(map(message, payloads)) + frame_header(FrameType.HALF_CLOSE, 0)
    places = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    reader = FrameReader(LIMIT)
    got = [
        frame
        for start, end in itertools.pairwise(places)
        for frame in reader.feed(stream[start:end])
    ]
    assert got == [*((FrameType.MESSAGE, p) for p in payloads), (FrameType.HALF_CLOSE, b"")]
    assert all(isinstance(payload, bytes) for _, payload in got)


def test_byte_by_byte_costs_no_object_a_byte() -> None:
    """A message that trickles in is gathered, not kept as a list of its bytes."""
    reader = FrameReader(LIMIT)
    stream = message(bytes(50_000))
    for i in range(len(stream) - 1):
        assert not list(reader.feed(stream[i : i + 1]))
    assert len(reader._chunks) == 1
    assert list(reader.feed(stream[-1:])) == [(FrameType.MESSAGE, bytes(50_000))]


def test_frames_before_a_bad_one_are_delivered() -> None:
    """A bad frame takes nothing back of what came before it."""
    reader = FrameReader(10)
    frames = reader.feed(message(b"good") + message(bytes(11)))
    assert next(frames) == (FrameType.MESSAGE, b"good")
    with pytest.raises(MessageTooLarge, match="11 bytes is larger than max"):
        next(frames)


@pytest.mark.parametrize(
    "header", [b"\x00\x00\x00\x00\x00", b"\x00\x00\x00\x00\x04", b"\x01\x00\x00\x00\x02"]
)
def test_frames_that_are_none(header: bytes) -> None:
    """Unknown types, and lengths that a type does not have."""
    with pytest.raises(MalformedStream, match="type"):
        list(FrameReader(LIMIT).feed(header))
    with pytest.raises(MalformedStream, match="type 3"):
        list(FrameReader(LIMIT).feed(frame_header(FrameType.END, 100_000)))


@given(cut=st.integers(0, 60), rest=st.binary(max_size=10))
def test_a_preface_is_whole_or_more_must_come(cut: int, rest: bytes) -> None:
    """No prefix of it is taken for it or refused."""
    whole = client_preface("/replication.v1.PeerService/Append")
    if cut < len(whole):
        assert read_client_preface(whole[:cut]) is None
    assert read_client_preface(whole + rest) == (
        "/replication.v1.PeerService/Append",
        len(whole),
    )


@given(data=st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever comes is a preface, the start of one, or MalformedStream; so with frames and ends."""
    for read in (read_client_preface, lambda d: list(FrameReader(100).feed(d)), read_end):
        with contextlib.suppress(MalformedStream):
            read(data)


@given(
    code=st.sampled_from([code for code in StatusCode if code]),
    text=st.text(max_size=3_000),
    details=st.binary(max_size=200),
)
def test_a_status_comes_back(code: StatusCode, text: str, details: bytes) -> None:
    """Code, message (cut at its bound) and details."""
    ((kind, payload),) = FrameReader(0).feed(end_frame(CallFailed(code, text, details)))
    assert kind is FrameType.END
    failure = read_end(payload)
    assert failure is not None
    expected = text[:MESSAGE_CHARACTERS_MAX].encode("utf-8", "replace").decode()
    assert (failure.code, failure.message, failure.details) == (code, expected, details)


def test_details_that_are_too_long_are_left_out() -> None:
    """As over gRPC; the status itself arrives."""
    long = bytes(DETAILS_BYTES_MAX + 1)
    ((_, payload),) = FrameReader(0).feed(end_frame(CallFailed(StatusCode.ABORTED, "x", long)))
    failure = read_end(payload)
    assert failure is not None
    assert (failure.code, failure.details) == (StatusCode.ABORTED, b"")


def test_the_documented_bytes() -> None:
    """A preface, a message, the half-close and two statuses are what docs/peer-streams.md says."""
    document = (Path(__file__).parents[4] / "docs" / "peer-streams.md").read_text()
    failure = CallFailed(StatusCode.NOT_FOUND, "no", b"\x08")
    for what, data in (
        ("client's preface for `/a.B/C`", client_preface("/a.B/C")),
        ("message `hello`", message(b"hello")),
        ("half-close", frame_header(FrameType.HALF_CLOSE, 0)),
        ("end, OK", end_frame(None)),
        ("end, NOT_FOUND, `no`, details `08`", end_frame(failure)),
    ):
        assert f"| {what} | `{data.hex(' ')}` |" in document
