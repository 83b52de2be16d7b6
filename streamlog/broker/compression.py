"""How a topic's batches are stored: as they came, compressed by the leader, or plain.

One C call a batch, on the event loop: at the levels allowed it costs about as much as the check
of the same batch (a few ms a MiB at most). The producer's checksum covers the compressed bytes, so
a batch that is stored in another form gets a new one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import zstandard

from streamlog.model.batch import (
    CODEC_NONE,
    CODEC_SHIFT,
    CODEC_ZSTD,
    BatchDraft,
    payload_crc32c,
)
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.record_set import (
    COMPRESS_FROM_BYTES,
    inflate,
    new_compressor,
    new_decompressor,
)
from streamlog.model.settings.topic import TopicConfig

_CODEC_MASK: Final = 0xF << CODEC_SHIFT


class BatchRecoder:
    """Brings validated batches into the form their topic asks for; keeps its C contexts."""

    def __init__(self) -> None:
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}
        self._decompressor = new_decompressor()

    def recode(self, draft: BatchDraft, config: TopicConfig) -> BatchDraft:
        """The batch as it is to be stored; the same object when nothing changes.

        Raises StreamlogError(BATCH_TOO_LARGE) when the plain form exceeds `max.batch.bytes`.
        """
        codec = draft.format_and_flags >> CODEC_SHIFT & 0xF
        if config.compression_type == "zstd" and codec == CODEC_NONE:
            return self._compressed(draft, config.compression_level)
        if config.compression_type == "none" and codec != CODEC_NONE:
            return self._plain(draft, codec, config.max_batch_bytes)
        return draft

    def _compressed(self, draft: BatchDraft, level: int) -> BatchDraft:
        if len(draft.payload) < COMPRESS_FROM_BYTES:
            return draft
        compressor = self._compressors.get(level)
        if compressor is None:
            compressor = self._compressors[level] = new_compressor(level)
        packed = compressor.compress(draft.payload)
        return (
            _with_payload(draft, CODEC_ZSTD, packed) if len(packed) < len(draft.payload) else draft
        )

    def _plain(self, draft: BatchDraft, codec: int, max_batch_bytes: int) -> BatchDraft:
        if draft.uncompressed_bytes > max_batch_bytes:
            raise StreamlogError(
                Reason.BATCH_TOO_LARGE,
                f"the topic stores batches uncompressed, and this one has {draft.uncompressed_bytes}"
                f" bytes then; it takes at most {max_batch_bytes} (max.batch.bytes)",
                {"max_batch_bytes": str(max_batch_bytes)},
            )
        plain = inflate(draft.payload, codec, draft.uncompressed_bytes, self._decompressor)
        return _with_payload(draft, CODEC_NONE, plain)


def _with_payload(draft: BatchDraft, codec: int, payload: bytes) -> BatchDraft:
    flags = draft.format_and_flags & ~_CODEC_MASK | codec << CODEC_SHIFT
    changed = replace(draft, format_and_flags=flags, payload=payload)
    return replace(changed, payload_checksum=payload_crc32c(changed, payload))
