"""What a batch's payload holds: a RecordSet, plain or as one zstd frame.

Shared by the client and the broker. Decoding trusts nothing: the content size is read from the
zstd frame's own header and bounded before a byte is decompressed (the decompressor's
`max_output_size` is only used when a frame does not say its size, so it bounds nothing), the
window is bounded, one frame and no trailing data is taken.

Compressors and decompressors are reused and not safe to share between threads: whoever calls
owns them (`new_compressor`, `new_decompressor`).

Sources: RFC 8878 (frame header), python-zstandard's documentation of one-shot decompression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import zstandard
from google.protobuf.message import DecodeError

from streamlog.model.batch import (
    CODEC_NONE,
    CODEC_ZSTD,
    PAYLOAD_BYTES_MAX,
    RECORDS_PER_BATCH_MAX,
    BatchDraft,
    draft_of_payload,
)
from streamlog.v1 import record_pb2

ZSTD_LEVEL: Final = 1
WINDOW_BYTES_MAX: Final = 8 * 1024 * 1024
COMPRESS_FROM_BYTES: Final = 128
"""Smaller sets are stored as they are: a zstd frame would save nothing worth its time."""

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_FRAME_HEADER_BYTES_MAX: Final = 18


class MalformedPayload(Exception):
    """A payload that does not decode within its bounds; the message says which."""


@dataclass(frozen=True, slots=True)
class EncodedPayload:
    """The payload of a batch and the header fields that describe it."""

    codec: int
    payload: bytes
    uncompressed_bytes: int


def new_compressor(level: int = ZSTD_LEVEL) -> zstandard.ZstdCompressor:
    """Content size in the header: what every batch is compressed with."""
    return zstandard.ZstdCompressor(level=level, write_content_size=True)


def new_decompressor() -> zstandard.ZstdDecompressor:
    """With the window bound of the format."""
    return zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)


def encode_payload(
    record_set: record_pb2.RecordSet, compressor: zstandard.ZstdCompressor | None
) -> EncodedPayload:
    """Serialize, and compress when a compressor is given and it shrinks.

    Raises ValueError above 64 MiB.
    """
    plain = record_set.SerializeToString()
    if len(plain) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"record set of {len(plain)} bytes, at most {PAYLOAD_BYTES_MAX}")
    if compressor is not None and len(plain) >= COMPRESS_FROM_BYTES:
        packed = compressor.compress(plain)
        if len(packed) < len(plain):
            return EncodedPayload(CODEC_ZSTD, packed, len(plain))
    return EncodedPayload(CODEC_NONE, plain, len(plain))


def inflate(
    payload: bytes,
    codec: int,
    uncompressed_bytes: int,
    decompressor: zstandard.ZstdDecompressor,
) -> bytes:
    """The serialized RecordSet of a payload that declares `uncompressed_bytes`, 0 to 64 MiB.

    Raises MalformedPayload when codec, declared size, zstd header and content disagree.
    """
    if not 0 <= uncompressed_bytes <= PAYLOAD_BYTES_MAX:
        raise MalformedPayload(
            f"uncompressed_bytes is {uncompressed_bytes}, allowed are 0 to {PAYLOAD_BYTES_MAX}"
        )
    if codec == CODEC_NONE:
        plain = payload
    elif codec == CODEC_ZSTD:
        plain = _inflate_zstd(payload, uncompressed_bytes, decompressor)
    else:
        raise MalformedPayload(f"codec is {codec}, allowed are {CODEC_NONE} and {CODEC_ZSTD}")
    if len(plain) != uncompressed_bytes:
        raise MalformedPayload(
            f"the payload holds {len(plain)} bytes, uncompressed_bytes says {uncompressed_bytes}"
        )
    return plain


def _inflate_zstd(
    payload: bytes, uncompressed_bytes: int, decompressor: zstandard.ZstdDecompressor
) -> bytes:
    if payload[:4] != _ZSTD_MAGIC:
        raise MalformedPayload("the payload is not a zstd frame")
    try:
        frame = zstandard.get_frame_parameters(payload[:_FRAME_HEADER_BYTES_MAX])
    except zstandard.ZstdError as error:
        raise MalformedPayload(f"the zstd frame header is malformed: {error}") from None
    if frame.content_size != uncompressed_bytes:
        # An unknown size reads as 2^64 - 1, so it ends here too.
        raise MalformedPayload(
            f"the zstd frame says a content of {frame.content_size} bytes, "
            f"uncompressed_bytes says {uncompressed_bytes}"
        )
    if frame.window_size > WINDOW_BYTES_MAX:
        raise MalformedPayload(
            f"the zstd window is {frame.window_size} bytes, at most {WINDOW_BYTES_MAX}"
        )
    if frame.dict_id != 0:
        raise MalformedPayload(f"the zstd frame needs dictionary {frame.dict_id}; none is allowed")
    try:
        return decompressor.decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedPayload(f"the zstd frame does not decompress: {error}") from None


def decode_payload(
    payload: bytes,
    codec: int,
    uncompressed_bytes: int,
    decompressor: zstandard.ZstdDecompressor,
) -> record_pb2.RecordSet:
    """The records of a payload. Raises MalformedPayload."""
    plain = inflate(payload, codec, uncompressed_bytes, decompressor)
    try:
        return record_pb2.RecordSet.FromString(plain)
    except DecodeError as error:
        raise MalformedPayload(f"the payload is not a RecordSet: {error}") from None


def draft_of_values(
    values: Sequence[bytes],
    *,
    topic_id: int,
    partition: int,
    timestamp_ms: int,
    compressor: zstandard.ZstdCompressor | None,
) -> BatchDraft:
    """A batch with a record (null key, this timestamp) for each value, 1 to 16,384.

    Raises ValueError outside the bounds.
    """
    if not 1 <= len(values) <= RECORDS_PER_BATCH_MAX:
        raise ValueError(f"{len(values)} records, allowed are 1 to {RECORDS_PER_BATCH_MAX}")
    record_set = record_pb2.RecordSet(
        records=[
            record_pb2.Record(value=value, offset_delta=delta) for delta, value in enumerate(values)
        ]
    )
    encoded = encode_payload(record_set, compressor)
    return draft_of_payload(
        encoded.payload,
        topic_id=topic_id,
        partition=partition,
        record_count=len(values),
        timestamp_ms=timestamp_ms,
        codec=encoded.codec,
        uncompressed_bytes=encoded.uncompressed_bytes,
    )
