"""Bytes of a direct connection between two nodes: one connection carries one stream.

The whole protocol, bounds and ends included, is in docs/peer-streams.md.

Integers are little-endian. Each side begins with a preface, then come frames.

| preface | bytes | what |
|---|---|---|
| both | 8 | magic `0x89 "SLPEER" 0x0A` |
| both | 1 | version (1) |
| client only | 1 + n | length of the method, 1 to 255; the method, ASCII, "/package.Service/Method" |

| frame | bytes | what |
|---|---|---|
| length | 4 | of the payload |
| type | 1 | 1 MESSAGE, 2 HALF_CLOSE, 3 END |
| payload | n | |

| type | from | payload |
|---|---|---|
| MESSAGE | both | the message, at most the largest one plus a slack |
| HALF_CLOSE | client | empty: no more messages come |
| END | server | u8 google.rpc.Code, u16 length of the message, the message in UTF-8, details |

The server answers the client's preface with its own. A client gives a call up by closing the
connection without HALF_CLOSE; a connection that closes without END broke. Nothing is checksummed
here: TCP covers the way, and entries carry checksums of their own, end to end. Nothing survives a
crash.

Invariant: what waits for the rest of its frame is at most one frame of the allowed length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

from replication.ports import CallFailed, StatusCode

VERSION = 1
_MAGIC = b"\x89SLPEER\n"
SERVER_PREFACE = _MAGIC + bytes([VERSION])
METHOD_BYTES_MAX = 255
MESSAGE_CHARACTERS_MAX = 2_000
"""Of a status; what is longer is cut."""
DETAILS_BYTES_MAX = 6_000
"""Of a status; longer ones are left out, as over gRPC."""
_FRAME = struct.Struct("<IB")
_STATUS = struct.Struct("<BH")
_END_BYTES_MAX = _STATUS.size + 4 * MESSAGE_CHARACTERS_MAX + DETAILS_BYTES_MAX
_GATHER_BELOW_BYTES = 4 << 10
"""Chunks below this size are gathered, so that a frame that trickles in costs no object a byte."""


class FrameType(IntEnum):
    """What a frame says."""

    MESSAGE = 1
    HALF_CLOSE = 2
    END = 3


class MalformedStream(Exception):
    """The bytes are not those of a peer that speaks this protocol."""


class MessageTooLarge(MalformedStream):
    """A well-formed frame announces a message over the limit."""

    def __init__(self, length: int, limit: int) -> None:
        self.length, self.limit = length, limit
        super().__init__(f"a message of {length} bytes is larger than max ({limit} bytes)")


def client_preface(method: str) -> bytes:
    """What the client says first; `method` is 1 to 255 ASCII characters."""
    name = method.encode("ascii")
    if not 1 <= len(name) <= METHOD_BYTES_MAX:
        raise ValueError(f"method of {len(name)} bytes: 1 to {METHOD_BYTES_MAX} are allowed")
    return SERVER_PREFACE + bytes([len(name)]) + name


def read_client_preface(data: bytes) -> tuple[str, int] | None:
    """Method, and bytes it took; None when more must come. Raises MalformedStream."""
    start = read_server_preface(data)
    if start is None or len(data) == start:
        return None
    length = data[start]
    name = data[start + 1 : start + 1 + length]
    if length == 0 or not name.isascii():
        raise MalformedStream(f"method {name!r} is not 1 to {METHOD_BYTES_MAX} ASCII characters")
    if len(name) < length:
        return None
    return name.decode("ascii"), start + 1 + length


def read_server_preface(data: bytes) -> int | None:
    """Bytes it took; None when more must come. Raises MalformedStream."""
    if not data.startswith(_MAGIC[: len(data)]):
        raise MalformedStream(f"it begins with {data[: len(_MAGIC)]!r}, not with {_MAGIC!r}")
    if len(data) < len(SERVER_PREFACE):
        return None
    if data[len(_MAGIC)] != VERSION:
        raise MalformedStream(f"version {data[len(_MAGIC)]} is not known: {VERSION} is")
    return len(SERVER_PREFACE)


def frame_header(kind: FrameType, length: int) -> bytes:
    """What goes before a payload of so many bytes."""
    return _FRAME.pack(length, kind)


def end_frame(failure: CallFailed | None) -> bytes:
    """The whole END frame of a status; None: OK."""
    if failure is None:
        payload = _STATUS.pack(StatusCode.OK, 0)
    else:
        text = failure.message[:MESSAGE_CHARACTERS_MAX].encode("utf-8", "replace")
        details = failure.details if len(failure.details) <= DETAILS_BYTES_MAX else b""
        payload = _STATUS.pack(failure.code, len(text)) + text + details
    return frame_header(FrameType.END, len(payload)) + payload


def read_end(payload: bytes) -> CallFailed | None:
    """The status of an END; None: OK. Raises MalformedStream."""
    try:
        number, length = _STATUS.unpack_from(payload)
        code = StatusCode(number)
        text = payload[_STATUS.size : _STATUS.size + length]
        if len(text) < length:
            raise ValueError(f"{length} bytes of text are announced, {len(text)} are there")
        failure = CallFailed(code, text.decode("utf-8"), payload[_STATUS.size + length :])
    except (struct.error, ValueError) as error:
        raise MalformedStream(f"status: {error}") from error
    return None if code is StatusCode.OK else failure


class FrameReader:
    """Cuts what arrives, in chunks of any size, into frames; copies each payload once."""

    def __init__(self, message_bytes_max: int) -> None:
        """`message_bytes_max`: longest MESSAGE that is taken, in bytes."""
        self._message_bytes_max = message_bytes_max
        self._start = b""
        """Of a header that is not whole yet."""
        self._kind = FrameType.MESSAGE
        self._chunks: list[bytes | bytearray | memoryview] = []
        """Of the payload under way."""
        self._missing = 0
        """Bytes until that payload is whole; 0: no payload is under way."""

    def feed(self, data: bytes) -> Iterator[tuple[FrameType, bytes]]:
        """The frames that are whole now; to be exhausted.

        Raises:
            MessageTooLarge: the next message is longer than allowed.
            MalformedStream: the next frame is not one. After either, nothing more may be fed.
        """
        position, end = 0, len(data)
        if self._missing:
            if end < self._missing:
                self._gather(data)
                return
            position = self._missing
            self._chunks.append(memoryview(data)[:position])
            payload = b"".join(self._chunks)
            self._chunks, self._missing = [], 0
            yield self._kind, payload
        elif self._start:
            data = self._start + data
            end = len(data)
            self._start = b""
        while end - position >= _FRAME.size:
            length, number = _FRAME.unpack_from(data, position)
            kind = self._checked(number, length)
            position += _FRAME.size
            if end - position < length:
                self._kind, self._missing = kind, length
                self._gather(data[position:])
                return
            yield kind, data[position : position + length]
            position += length
        self._start = data[position:]

    def _gather(self, data: bytes) -> None:
        self._missing -= len(data)
        if len(data) >= _GATHER_BELOW_BYTES:
            self._chunks.append(data)
        elif self._chunks and isinstance(self._chunks[-1], bytearray):
            self._chunks[-1] += data
        else:
            self._chunks.append(bytearray(data))

    def _checked(self, number: int, length: int) -> FrameType:
        match number:
            case FrameType.MESSAGE:
                if length > self._message_bytes_max:
                    raise MessageTooLarge(length, self._message_bytes_max)
                return FrameType.MESSAGE
            case FrameType.HALF_CLOSE if length == 0:
                return FrameType.HALF_CLOSE
            case FrameType.END if length <= _END_BYTES_MAX:
                return FrameType.END
        raise MalformedStream(f"a frame of type {number} with {length} bytes is not known")
