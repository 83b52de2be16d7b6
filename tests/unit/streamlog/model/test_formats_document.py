"""docs/formats.md tells the truth."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from streamlog.model.batch import CODEC_NONE, check_frame, draft_of_payload, read_header
from streamlog.v1 import batch_pb2, record_pb2

ROOT = Path(__file__).parents[4]


def frame() -> bytes:
    """The batch that the document describes."""
    records = record_pb2.RecordSet(records=[record_pb2.Record(key=b"k", value=b"hello")])
    payload = records.SerializeToString()
    draft = draft_of_payload(
        payload,
        topic_id=7,
        partition=2,
        record_count=1,
        timestamp_ms=1_700_000_000_000,
        codec=CODEC_NONE,
        uncompressed_bytes=len(payload),
    )
    return draft.frame(41, 3)


def test_the_vector_is_what_is_written() -> None:
    """Byte for byte, and it reads back."""
    text = (ROOT / "docs" / "formats.md").read_text()
    found = re.search(r"```vector\n(.*?)```", text, re.DOTALL)
    assert found is not None
    vector = bytes.fromhex("".join(found.group(1).split()))
    assert vector == frame()
    header = read_header(vector)
    check_frame(vector, 0, header)
    assert (header.base_offset, header.end_offset, header.term) == (41, 42, 3)


def test_stock_protoc_decodes_frames() -> None:
    """A run of frames is a BatchSet for the stock compiler, and for the stock runtime."""
    two = frame() * 2
    assert len(batch_pb2.BatchSet.FromString(two).batches) == 2
    decoded = subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'proto'}",
            "--decode=streamlog.v1.BatchSet",
            "streamlog/v1/batch.proto",
        ],
        input=two,
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert decoded.count("batches {") == 2
    assert "base_offset: 41" in decoded
