"""`streamlog log dump`: prints the batches of segment files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.log.segment_batches import DamagedSegment, SegmentBatches
from streamlog.cli.records.printer import text_of
from streamlog.model.batch import BatchHeader
from streamlog.model.record_set import MalformedPayload, decode_payload, new_decompressor


def segment_files(paths: list[Path]) -> list[Path]:
    """Files as given, and those below directories by name. Raises CommandFailed."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise CommandFailed(f"{path}: No such file or directory", EXIT_USAGE)
        if path.is_dir():
            found = sorted(path.rglob("*.segment"))
            if not found:
                raise CommandFailed(
                    f"{path} holds no segment files (*.segment); what a node wrote in the last "
                    "seconds is in its journal",
                    EXIT_USAGE,
                )
            files += found
        else:
            files.append(path)
    return files


def dump_file(path: Path, *, records: bool, as_json: bool) -> None:
    """Print one file. Raises CommandFailed where it is damaged."""
    try:
        segment = SegmentBatches(path)
        info = segment.info
        if not as_json:
            typer.echo(
                f"{path}: group {info.identity.group_id}, topic {info.identity.topic_id}, "
                f"partition {info.identity.partition}, from offset {info.base_offset}"
            )
        for batch in segment.batches():
            header = batch.header
            line: dict[str, Any] = {
                "position": batch.position,
                "bytes": header.frame_bytes,
                "base_offset": header.base_offset,
                "end_offset": header.end_offset,
                "term": header.term,
                "records": header.record_count,
                "control": header.control,
                "max_timestamp_ms": header.max_timestamp_ms,
            }
            if header.has_producer:
                line["producer"] = [
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                ]
            if records and not header.control:
                line["values"] = _values(header, batch.payload)
            typer.echo(json.dumps({"file": str(path)} | line) if as_json else _text(line))
    except DamagedSegment as error:
        raise CommandFailed(f"{path}: {error}") from error
    except BrokenPipeError:
        raise  # nobody reads the output: it is no error of the file
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error


def _values(header: BatchHeader, payload: bytes) -> list[dict[str, Any]]:
    """The records of a batch, as JSON has them. Raises DamagedSegment."""
    try:
        decoded = decode_payload(
            payload, header.codec, header.uncompressed_bytes, new_decompressor()
        )
    except MalformedPayload as error:
        raise DamagedSegment(str(error)) from error
    return [
        {
            "offset": header.base_offset + record.offset_delta,
            **text_of("key", record.key if record.HasField("key") else None),
            **text_of("value", record.value if record.HasField("value") else None),
        }
        for record in decoded.records
    ]


def _text(line: dict[str, Any]) -> str:
    values = line.pop("values", None)
    head = "  ".join(f"{name} {value}" for name, value in line.items())
    if values is None:
        return head
    return "\n".join([head, *(f"    {v['offset']}  {v['key']}  {v['value']}" for v in values)])
