"""Judges a producer's batch whole before anything of it is stored.

One C call each for the checksum, the decompression and the parse; nothing is done per record, so
of the records' numbering only the first and the last are looked at. What passes can be served to
any client: it has the number of records it says, inflates to the size it says, and its checksum
is the producer's.

Rejected: trusting producers' headers (a count that lies moves every later offset), and
re-numbering records here (that is work per record, and breaks the producer's checksum).
"""

from __future__ import annotations

from typing import Final

from streamlog.model.batch import (
    APPEND_TIME,
    CODEC_NONE,
    CODEC_SHIFT,
    CODEC_ZSTD,
    CONTROL,
    ENCRYPTED,
    FORMAT_VERSION,
    HAS_DELETE_HORIZON,
    HAS_PRODUCER,
    KNOWN_FLAGS,
    PAYLOAD_BYTES_MAX,
    RECORDS_PER_BATCH_MAX,
    TRANSACTIONAL,
    VERSION_MASK,
    BatchDraft,
    draft_from_message,
    payload_crc32c,
)
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.record_set import MalformedPayload, decode_payload, new_decompressor
from streamlog.v1 import batch_pb2

SEQUENCE_MAX: Final = 2**31 - 1
TIMESTAMP_MS_MAX: Final = 2**62 - 1
"""Absolute value: the difference of any two timestamps fits in the 64 bits of a record's delta."""

_REFUSED_FLAGS: Final = (
    (APPEND_TIME, "append time is the topic's choice, not the producer's"),
    (CONTROL, "control batches are the leader's to write"),
    (TRANSACTIONAL, "transactions are not supported by this version"),
    (HAS_DELETE_HORIZON, "the delete horizon is the broker's to set"),
    (ENCRYPTED, "encrypted payloads are not supported by this version"),
)
_CODEC_MASK: Final = 0xF
_TIMESTAMPS: Final = "-2^62 + 1 to 2^62 - 1"


class BatchValidator:
    """Validates batches; keeps a decompressor for all of them."""

    def __init__(self) -> None:
        self._decompressor = new_decompressor()

    def validate(
        self, batch: batch_pb2.RecordBatch, *, topic_id: int, max_batch_bytes: int
    ) -> BatchDraft:
        """The batch as a draft of a frame of this topic.

        Raises StreamlogError: BATCH_TOO_LARGE (payload above `max_batch_bytes`), CORRUPT_BATCH
        (checksum), INVALID_BATCH (anything else; the message names value and range).
        """
        payload = batch.payload
        if len(payload) > max_batch_bytes:
            raise StreamlogError(
                Reason.BATCH_TOO_LARGE,
                f"the batch's payload has {len(payload)} bytes, the topic takes at most "
                f"{max_batch_bytes} (max.batch.bytes)",
                {"max_batch_bytes": str(max_batch_bytes)},
            )
        draft = draft_from_message(batch, payload, topic_id)
        _check_flags(draft.format_and_flags)
        _check_ranges(draft)
        checksum = payload_crc32c(draft, payload)
        if checksum != draft.payload_checksum:
            raise StreamlogError(
                Reason.CORRUPT_BATCH,
                f"payload_crc32c is {draft.payload_checksum:#010x}, header and payload give "
                f"{checksum:#010x}",
            )
        self._check_content(draft)
        return draft

    def _check_content(self, draft: BatchDraft) -> None:
        codec = draft.format_and_flags >> CODEC_SHIFT & _CODEC_MASK
        try:
            records = decode_payload(
                draft.payload, codec, draft.uncompressed_bytes, self._decompressor
            ).records
        except MalformedPayload as error:
            raise StreamlogError(Reason.INVALID_BATCH, str(error)) from error
        if len(records) != draft.record_count:
            raise _invalid("record_count", draft.record_count, f"{len(records)}, as in the payload")
        first, last = records[0].offset_delta, records[-1].offset_delta
        if first != 0 or last != draft.last_offset_delta:
            raise StreamlogError(
                Reason.INVALID_BATCH,
                f"records are numbered {first} to {last}, they must be numbered 0 to "
                f"{draft.last_offset_delta}",
            )


def _check_flags(flags: int) -> None:
    version = flags & VERSION_MASK
    if version != FORMAT_VERSION:
        raise _invalid("format version", version, f"{FORMAT_VERSION}")
    if flags & ~KNOWN_FLAGS:
        raise _invalid("format_and_flags", flags, f"known flags only, {KNOWN_FLAGS:#x}")
    for flag, why in _REFUSED_FLAGS:
        if flags & flag:
            raise StreamlogError(Reason.INVALID_BATCH, f"flag {flag:#x} is set: {why}")
    codec = flags >> CODEC_SHIFT & _CODEC_MASK
    if codec not in {CODEC_NONE, CODEC_ZSTD}:
        raise _invalid("codec", codec, f"{CODEC_NONE} (none) or {CODEC_ZSTD} (zstd)")


def _check_ranges(draft: BatchDraft) -> None:
    count = draft.record_count
    if not 1 <= count <= RECORDS_PER_BATCH_MAX:
        raise _invalid("record_count", count, f"1 to {RECORDS_PER_BATCH_MAX}")
    if draft.last_offset_delta != count - 1:
        raise _invalid(
            "last_offset_delta", draft.last_offset_delta, f"{count - 1}, one below record_count"
        )
    if not 0 <= draft.uncompressed_bytes <= PAYLOAD_BYTES_MAX:
        raise _invalid("uncompressed_bytes", draft.uncompressed_bytes, f"0 to {PAYLOAD_BYTES_MAX}")
    if abs(draft.first_timestamp_ms) > TIMESTAMP_MS_MAX:
        raise _invalid("first_timestamp_ms", draft.first_timestamp_ms, _TIMESTAMPS)
    if abs(draft.max_timestamp_ms) > TIMESTAMP_MS_MAX:
        raise _invalid("max_timestamp_ms", draft.max_timestamp_ms, _TIMESTAMPS)
    if draft.format_and_flags & HAS_PRODUCER:
        if draft.producer_epoch > SEQUENCE_MAX:
            raise _invalid("producer_epoch", draft.producer_epoch, f"0 to {SEQUENCE_MAX}")
        if draft.base_sequence > SEQUENCE_MAX:
            raise _invalid("base_sequence", draft.base_sequence, f"0 to {SEQUENCE_MAX}")


def _invalid(name: str, value: int, allowed: str) -> StreamlogError:
    return StreamlogError(Reason.INVALID_BATCH, f"{name} is {value}, it must be {allowed}")
