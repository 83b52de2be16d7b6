"""The form in which a topic stores what producers send."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamlog.broker.compression import BatchRecoder
from streamlog.model.batch import (
    CODEC_NONE,
    CODEC_SHIFT,
    CODEC_ZSTD,
    HAS_PRODUCER,
    BatchDraft,
    payload_crc32c,
)
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.record_set import (
    decode_payload,
    draft_of_values,
    new_compressor,
    new_decompressor,
)
from streamlog.model.settings.topic import TopicConfig

VALUES = [b"value %d of a batch that compresses well" % (n % 7) for n in range(500)]


def sent(*, compressed: bool, values: list[bytes] = VALUES) -> BatchDraft:
    draft = draft_of_values(
        values,
        topic_id=1,
        partition=2,
        timestamp_ms=3,
        compressor=new_compressor() if compressed else None,
    )
    flags = draft.format_and_flags | HAS_PRODUCER
    draft = replace(draft, format_and_flags=flags, producer_id=9, base_sequence=4)
    return replace(draft, payload_checksum=payload_crc32c(draft, draft.payload))


def codec_of(draft: BatchDraft) -> int:
    return draft.format_and_flags >> CODEC_SHIFT & 0xF


def values_of(draft: BatchDraft) -> list[bytes]:
    records = decode_payload(
        draft.payload, codec_of(draft), draft.uncompressed_bytes, new_decompressor()
    )
    return [record.value for record in records.records]


@pytest.mark.parametrize(
    ("kind", "compressed", "stored"),
    [
        ("producer", False, CODEC_NONE),
        ("producer", True, CODEC_ZSTD),
        ("zstd", False, CODEC_ZSTD),
        ("zstd", True, CODEC_ZSTD),
        ("none", False, CODEC_NONE),
        ("none", True, CODEC_NONE),
    ],
)
def test_the_topic_decides_how_batches_are_stored(
    kind: str, stored: int, *, compressed: bool
) -> None:
    """Only the form changes: records, identity and sequence stay; the checksum fits."""
    before = sent(compressed=compressed)
    after = BatchRecoder().recode(before, TopicConfig(compression_type=kind))
    assert codec_of(after) == stored
    assert values_of(after) == VALUES
    assert after.payload_checksum == payload_crc32c(after, after.payload)
    same = {"format_and_flags": 0, "payload": b"", "payload_checksum": 0}
    assert replace(after, **same) == replace(before, **same)  # type: ignore[arg-type]
    assert after.has_producer
    if codec_of(before) == stored:
        assert after is before


def test_what_would_not_shrink_stays_as_it_is() -> None:
    """Neither small batches nor incompressible ones grow by being compressed."""
    recoder, config = BatchRecoder(), TopicConfig(compression_type="zstd")
    for values in ([b"x"], [bytes(range(256))]):
        draft = sent(compressed=False, values=values)
        assert recoder.recode(draft, config) is draft


def test_higher_levels_compress_more() -> None:
    """compression.level reaches the compressor."""
    recoder, draft = BatchRecoder(), sent(compressed=False, values=[b"%d" % n for n in range(9000)])
    sizes = [
        len(
            recoder.recode(draft, TopicConfig(compression_type="zstd", compression_level=n)).payload
        )
        for n in (1, 6)
    ]
    assert sizes[1] < sizes[0]


def test_a_batch_too_large_in_its_plain_form_is_refused_with_the_limit() -> None:
    """compression.type=none does not lift max.batch.bytes."""
    config = TopicConfig(compression_type="none", max_batch_bytes=1024)
    with pytest.raises(StreamlogError, match=r"at most 1024 \(max.batch.bytes\)") as caught:
        BatchRecoder().recode(sent(compressed=True), config)
    assert caught.value.reason is Reason.BATCH_TOO_LARGE
