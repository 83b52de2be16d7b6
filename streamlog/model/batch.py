"""The stored frame of a batch: one fixed layout that is also valid protobuf.

A frame is one element of `streamlog.v1.BatchSet.batches`, so any run of whole frames is a
serialized BatchSet, and a slice of a segment file can be sent as it is. All integers are
little-endian. Every tag, and so every position, is constant:

    at  size  what
     0   1    0x0A, BatchSet.batches
     1   4    bytes that follow, a varint padded to four bytes (at most 2^28 - 1)
     5   5    0x0D, frame_crc32c: CRC32C over everything after it
    10   5    0x15, format_and_flags
    15   9    0x19, topic_id
    24   5    0x25, partition
    29   9    0x29, base_offset
    38   9    0x31, term
    47   5    0x3D, last_offset_delta
    52   5    0x45, record_count
    57   9    0x49, first_timestamp_ms
    66   9    0x51, max_timestamp_ms
    75   9    0x59, producer_id
    84   5    0x65, producer_epoch
    89   5    0x6D, base_sequence
    94   5    0x75, schema_id
    99   5    0x7D, routing_epoch
   104   6    0x85 0x01, encryption_key_id
   110  10    0x89 0x01, delete_horizon_ms
   120   6    0x95 0x01, payload_crc32c
   126   6    0x9D 0x01, uncompressed_bytes
   132   2    0xA2 0x01, payload
   134   4    its length, a varint padded to four bytes
   138   n    payload
 138+n   m    extensions: fields this version does not know; kept, covered by the frame's CRC

Two checksums. The frame's covers what is stored, and nodes check it. The payload's covers the
producer's header fields (`payload_crc32c`) and the payload, as the producer sent them, and
clients check it end to end. Where the leader stamps the append time it computes the payload's
anew, right after it checked the producer's.

After a crash a frame may be torn or missing; nothing of it is trusted before its CRC is checked.

Invariant: `read_header(draft.frame(base, term), 0)` gives back what the draft was made of.

Neighbours: `record_set` (what a payload holds), `streamlog/storage/validation` (what of a
producer is accepted). Rejected: reading headers with protobuf, which copies the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import google_crc32c

FORMAT_VERSION: Final = 1

CODEC_NONE: Final = 1
CODEC_ZSTD: Final = 2

VERSION_MASK: Final = 0xFF
CODEC_SHIFT: Final = 8
CODEC_MASK: Final = 0xF00
APPEND_TIME: Final = 1 << 12
CONTROL: Final = 1 << 13
TRANSACTIONAL: Final = 1 << 14
HAS_PRODUCER: Final = 1 << 15
HAS_EXPIRY: Final = 1 << 16
HAS_DELETE_HORIZON: Final = 1 << 17
ENCRYPTED: Final = 1 << 18
KNOWN_FLAGS: Final = 0x7FFFF
"""Version, codec and every flag that has a meaning; the others are refused when set."""
BROKER_FLAGS: Final = APPEND_TIME | HAS_DELETE_HORIZON
"""Flags that a broker sets later; the payload's checksum does not count them."""

RECORDS_PER_BATCH_MAX: Final = 16_384
PAYLOAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bound of a payload, before and after decompression."""

FRAME_TAG: Final = 0x0A
FRAME_LENGTH_END: Final = 5
"""Position in a frame at which the bytes that its length counts begin."""
CHECKED_FROM: Final = 10
"""Position in a frame at which the bytes that its CRC covers begin."""
PREFIX_BYTES: Final = 138
"""Position in a frame at which the payload begins."""
FRAME_BYTES_MAX: Final = (1 << 28) - 1 + FRAME_LENGTH_END

_CRC_TAG: Final = 0x0D
_PAYLOAD_TAG: Final = 0x01A2
_PREFIX = struct.Struct("<BIBIxIxQxIxQxQxIxIxqxqxQxIxIxIxI2xI2xq2xI2xIHI")
_HEAD = struct.Struct("<BIBI")
_REST = struct.Struct("<BIBQBIBQBQBIBIBqBqBQBIBIBIBIHIHqHIHIHI")
_PLACE = struct.Struct("<BI25xQ10xI")
_PRODUCER_FIELDS = struct.Struct("<IIIIqqQIIIIII")
_CONTINUED: Final = 0x00808080
_CONTINUATION_BITS: Final = 0x80808080


class CorruptFrame(Exception):
    """Bytes that are not a whole, sound frame."""

    def __init__(self, position: int, detail: str) -> None:
        self.position, self.detail = position, detail
        super().__init__(f"no sound frame at byte {position}: {detail}")


class BatchHeader(NamedTuple):
    """Every header field of a frame. Invariant: positions and lengths are consistent."""

    frame_bytes: int
    """Whole frame, tag and length included."""
    frame_crc32c: int
    format_and_flags: int
    topic_id: int
    partition: int
    base_offset: int
    term: int
    last_offset_delta: int
    record_count: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    schema_id: int
    routing_epoch: int
    encryption_key_id: int
    delete_horizon_ms: int
    payload_crc32c: int
    uncompressed_bytes: int
    payload_bytes: int

    @property
    def end_offset(self) -> int:
        """Exclusive."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def span(self) -> int:
        """Offsets the batch takes."""
        return self.last_offset_delta + 1

    @property
    def version(self) -> int:
        """Format version."""
        return self.format_and_flags & VERSION_MASK

    @property
    def codec(self) -> int:
        """CODEC_NONE or CODEC_ZSTD."""
        return (self.format_and_flags & CODEC_MASK) >> CODEC_SHIFT

    @property
    def control(self) -> bool:
        """The payload is a ControlRecord; consumers skip the batch."""
        return bool(self.format_and_flags & CONTROL)

    @property
    def transactional(self) -> bool:
        """Belongs to a transaction."""
        return bool(self.format_and_flags & TRANSACTIONAL)

    @property
    def has_producer(self) -> bool:
        """Producer id, epoch and sequence are valid."""
        return bool(self.format_and_flags & HAS_PRODUCER)

    @property
    def append_time(self) -> bool:
        """Every record's timestamp is max_timestamp_ms, the time of the append."""
        return bool(self.format_and_flags & APPEND_TIME)

    @property
    def encrypted(self) -> bool:
        """Nodes can not look into the payload."""
        return bool(self.format_and_flags & ENCRYPTED)

    def payload(self, buffer: bytes, position: int) -> bytes:
        """The payload of the frame at `position` that this header was read from."""
        begin = position + PREFIX_BYTES
        return buffer[begin : begin + self.payload_bytes]


class ProducerFields(Protocol):
    """What a producer fills in: a RecordBatch message, a BatchHeader, a BatchDraft."""

    @property
    def format_and_flags(self) -> int: ...
    @property
    def partition(self) -> int: ...
    @property
    def last_offset_delta(self) -> int: ...
    @property
    def record_count(self) -> int: ...
    @property
    def first_timestamp_ms(self) -> int: ...
    @property
    def max_timestamp_ms(self) -> int: ...
    @property
    def producer_id(self) -> int: ...
    @property
    def producer_epoch(self) -> int: ...
    @property
    def base_sequence(self) -> int: ...
    @property
    def schema_id(self) -> int: ...
    @property
    def routing_epoch(self) -> int: ...
    @property
    def encryption_key_id(self) -> int: ...
    @property
    def uncompressed_bytes(self) -> int: ...


def padded_varint(value: int) -> int:
    """Four bytes, as a little-endian integer, that read as the varint `value`, 0 to 2^28 - 1."""
    return (
        _CONTINUED
        | (value & 0x7F)
        | (value & 0x3F80) << 1
        | (value & 0x1FC000) << 2
        | (value & 0xFE00000) << 3
    )


def read_padded_varint(word: int) -> int:
    """The reverse of `padded_varint`; -1 when the four bytes are not one padded varint."""
    if word & _CONTINUATION_BITS != _CONTINUED:
        return -1
    return (word & 0x7F) | (word & 0x7F00) >> 1 | (word & 0x7F0000) >> 2 | (word >> 24) << 21


def payload_crc32c(fields: ProducerFields, payload: bytes) -> int:
    """The end-to-end checksum: CRC32C of the producer's fields, packed, then of the payload.

    Packed little-endian without gaps: u32 format_and_flags without BROKER_FLAGS, u32 partition,
    u32 last_offset_delta, u32 record_count, i64 first_timestamp_ms, i64 max_timestamp_ms (0 when
    APPEND_TIME is set), u64 producer_id, u32 producer_epoch, u32 base_sequence, u32 schema_id,
    u32 routing_epoch, u32 encryption_key_id, u32 uncompressed_bytes.
    """
    flags = fields.format_and_flags
    packed = _PRODUCER_FIELDS.pack(
        flags & ~BROKER_FLAGS & 0xFFFFFFFF,
        fields.partition,
        fields.last_offset_delta,
        fields.record_count,
        fields.first_timestamp_ms,
        0 if flags & APPEND_TIME else fields.max_timestamp_ms,
        fields.producer_id,
        fields.producer_epoch,
        fields.base_sequence,
        fields.schema_id,
        fields.routing_epoch,
        fields.encryption_key_id,
        fields.uncompressed_bytes,
    )
    checksum: int = google_crc32c.extend(google_crc32c.value(packed), payload)
    return checksum


@dataclass(frozen=True, slots=True)
class BatchDraft:
    """A batch that is complete except for its place in the log.

    Invariant: `payload_checksum` fits the other fields.
    """

    topic_id: int
    partition: int
    format_and_flags: int
    last_offset_delta: int
    record_count: int
    first_timestamp_ms: int
    max_timestamp_ms: int
    uncompressed_bytes: int
    payload: bytes
    payload_checksum: int
    producer_id: int = 0
    producer_epoch: int = 0
    base_sequence: int = 0
    schema_id: int = 0
    routing_epoch: int = 0
    encryption_key_id: int = 0
    delete_horizon_ms: int = 0

    @property
    def span(self) -> int:
        """Offsets it takes, 1 to 16,384."""
        return self.last_offset_delta + 1

    @property
    def size_bytes(self) -> int:
        """Bytes of the frame."""
        return PREFIX_BYTES + len(self.payload)

    @property
    def has_producer(self) -> bool:
        """Producer id, epoch and sequence are valid."""
        return bool(self.format_and_flags & HAS_PRODUCER)

    def stamped(self, append_time_ms: int) -> BatchDraft:
        """The same batch with the append time, Unix milliseconds, as its records' timestamp."""
        changed = replace(
            self,
            format_and_flags=self.format_and_flags | APPEND_TIME,
            max_timestamp_ms=append_time_ms,
        )
        return replace(changed, payload_checksum=payload_crc32c(changed, self.payload))

    def frame(self, base: int, term: int, append_time_ms: int | None = None) -> bytes:
        """The stored bytes at base offset `base` in `term`; stamped when a time is given."""
        if append_time_ms is not None:
            return self.stamped(append_time_ms).frame(base, term)
        payload = self.payload
        size = len(payload)
        rest = _REST.pack(
            0x15, self.format_and_flags,
            0x19, self.topic_id,
            0x25, self.partition,
            0x29, base,
            0x31, term,
            0x3D, self.last_offset_delta,
            0x45, self.record_count,
            0x49, self.first_timestamp_ms,
            0x51, self.max_timestamp_ms,
            0x59, self.producer_id,
            0x65, self.producer_epoch,
            0x6D, self.base_sequence,
            0x75, self.schema_id,
            0x7D, self.routing_epoch,
            0x0185, self.encryption_key_id,
            0x0189, self.delete_horizon_ms,
            0x0195, self.payload_checksum,
            0x019D, self.uncompressed_bytes,
            _PAYLOAD_TAG, padded_varint(size),
        )  # fmt: skip
        checksum = google_crc32c.extend(google_crc32c.value(rest), payload)
        length = padded_varint(PREFIX_BYTES - FRAME_LENGTH_END + size)
        return b"".join((_HEAD.pack(FRAME_TAG, length, _CRC_TAG, checksum), rest, payload))


class ProducerBatchMessage(ProducerFields, Protocol):
    """A parsed streamlog.v1.RecordBatch."""

    @property
    def payload_crc32c(self) -> int: ...


def draft_from_message(message: ProducerBatchMessage, payload: bytes, topic_id: int) -> BatchDraft:
    """A draft of what a producer sent; `payload` is `message.payload`, taken out once.

    Nothing is checked here: that is the validator's work.
    """
    return BatchDraft(
        topic_id=topic_id,
        partition=message.partition,
        format_and_flags=message.format_and_flags,
        last_offset_delta=message.last_offset_delta,
        record_count=message.record_count,
        first_timestamp_ms=message.first_timestamp_ms,
        max_timestamp_ms=message.max_timestamp_ms,
        uncompressed_bytes=message.uncompressed_bytes,
        payload=payload,
        payload_checksum=message.payload_crc32c,
        producer_id=message.producer_id,
        producer_epoch=message.producer_epoch,
        base_sequence=message.base_sequence,
        schema_id=message.schema_id,
        routing_epoch=message.routing_epoch,
        encryption_key_id=message.encryption_key_id,
    )


def draft_of_payload(
    payload: bytes,
    *,
    topic_id: int,
    partition: int,
    record_count: int,
    timestamp_ms: int,
    codec: int = CODEC_NONE,
    uncompressed_bytes: int | None = None,
    flags: int = 0,
) -> BatchDraft:
    """A draft that the broker makes itself: a control batch, or records it gathered.

    Arguments: `flags` are CONTROL and the like, without version and codec; `timestamp_ms` is the
    first and the largest timestamp, Unix milliseconds; `uncompressed_bytes` defaults to the
    payload's size.
    """
    draft = BatchDraft(
        topic_id=topic_id,
        partition=partition,
        format_and_flags=FORMAT_VERSION | codec << CODEC_SHIFT | flags,
        last_offset_delta=record_count - 1,
        record_count=record_count,
        first_timestamp_ms=timestamp_ms,
        max_timestamp_ms=timestamp_ms,
        uncompressed_bytes=len(payload) if uncompressed_bytes is None else uncompressed_bytes,
        payload=payload,
        payload_checksum=0,
    )
    return replace(draft, payload_checksum=payload_crc32c(draft, payload))


def frame_length(buffer: bytes, position: int) -> int | None:
    """Bytes of the frame at `position`, from its first five; None when they are not all there.

    Raises CorruptFrame when no frame begins here.
    """
    if len(buffer) - position < FRAME_LENGTH_END:
        return None
    if buffer[position] != FRAME_TAG:
        raise CorruptFrame(position, f"tag {buffer[position]:#04x} instead of {FRAME_TAG:#04x}")
    word = int.from_bytes(buffer[position + 1 : position + FRAME_LENGTH_END], "little")
    length = read_padded_varint(word)
    if length < PREFIX_BYTES - FRAME_LENGTH_END:
        raise CorruptFrame(position, f"length field {word:#010x} is not one of a frame")
    return FRAME_LENGTH_END + length


def read_place(buffer: bytes, position: int) -> tuple[int, int, int]:
    """Frame length, base offset and exclusive end offset of the frame at `position`.

    The cheapest look at a frame, to step over many. Raises CorruptFrame.
    """
    try:
        tag, word, base, last_delta = _PLACE.unpack_from(buffer, position)
    except struct.error:
        raise CorruptFrame(position, "cut short within the header") from None
    if tag != FRAME_TAG or word & _CONTINUATION_BITS != _CONTINUED:
        raise CorruptFrame(position, "no frame begins here")
    length = (word & 0x7F) | (word & 0x7F00) >> 1 | (word & 0x7F0000) >> 2 | (word >> 24) << 21
    if length < PREFIX_BYTES - FRAME_LENGTH_END:
        raise CorruptFrame(position, f"length {length} is too small for a frame")
    return FRAME_LENGTH_END + length, base, base + last_delta + 1


def read_header(buffer: bytes, position: int = 0) -> BatchHeader:
    """The header of the frame at `position`; the payload need not be in the buffer.

    Raises CorruptFrame when tags or lengths are not those of a frame. The CRC is not checked.
    """
    try:
        fields = _PREFIX.unpack_from(buffer, position)
    except struct.error:
        raise CorruptFrame(position, "cut short within the header") from None
    word, payload_word = fields[1], fields[-1]
    if (
        fields[0] != FRAME_TAG
        or fields[2] != _CRC_TAG
        or fields[-2] != _PAYLOAD_TAG
        or word & _CONTINUATION_BITS != _CONTINUED
        or payload_word & _CONTINUATION_BITS != _CONTINUED
    ):
        raise CorruptFrame(position, "the fixed tags are not there")
    size = FRAME_LENGTH_END + (
        (word & 0x7F) | (word & 0x7F00) >> 1 | (word & 0x7F0000) >> 2 | (word >> 24) << 21
    )
    payload = (
        (payload_word & 0x7F)
        | (payload_word & 0x7F00) >> 1
        | (payload_word & 0x7F0000) >> 2
        | (payload_word >> 24) << 21
    )
    if PREFIX_BYTES + payload > size:
        raise CorruptFrame(position, f"payload of {payload} bytes in a frame of {size}")
    return BatchHeader._make((size, *fields[3:-2], payload))


def check_frame(buffer: bytes, position: int, header: BatchHeader) -> None:
    """Raise CorruptFrame unless the whole frame is in the buffer and its CRC is right."""
    end = position + header.frame_bytes
    if end > len(buffer):
        raise CorruptFrame(position, f"{header.frame_bytes} bytes, but the buffer ends before")
    checksum = google_crc32c.value(buffer[position + CHECKED_FROM : end])
    if checksum != header.frame_crc32c:
        raise CorruptFrame(
            position, f"CRC32C is {checksum:#010x}, the frame says {header.frame_crc32c:#010x}"
        )


def check_payload(header: BatchHeader, payload: bytes) -> bool:
    """The producer's checksum is right: what a client checks end to end."""
    return payload_crc32c(header, payload) == header.payload_crc32c


def iterate_frames(
    buffer: bytes, position: int = 0, end: int | None = None
) -> Iterator[tuple[int, BatchHeader]]:
    """Position and header of each frame in buffer[position:end], which must hold whole frames.

    Raises CorruptFrame. CRCs are not checked.
    """
    stop = len(buffer) if end is None else end
    while position < stop:
        header = read_header(buffer, position)
        if position + header.frame_bytes > stop:
            raise CorruptFrame(position, "the buffer ends within the frame")
        yield position, header
        position += header.frame_bytes
