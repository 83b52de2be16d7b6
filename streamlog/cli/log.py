"""`streamlog log`: reads segment files offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from streamlog.cli.failure import CommandFailed


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Files of a node, read offline.\n\n  streamlog log dump node-1/groups/*/*/*.segment",
        no_args_is_help=True,
    )
    group.command("dump")(dump)

    @group.callback()
    def root() -> None:
        """Read a node's files."""

    application.add_typer(group, name="log")


def dump(
    files: Annotated[list[Path], typer.Argument(help="Segment files.")],
    records: Annotated[bool, typer.Option(help="Print the records of each batch too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print the batches of segment files, each checked; exit 1 at the first that is damaged."""
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CommandFailed(f"{path}: {error.strerror}") from error
        _dump(path, content, records=records, as_json=as_json)


def _dump(path: Path, content: bytes, *, records: bool, as_json: bool) -> None:
    from streamlog.model.batch import CorruptFrame, check_frame, check_payload, read_header
    from streamlog.model.record_set import MalformedPayload, decode_payload, new_decompressor
    from streamlog.storage.sealed_file import DamagedFile, UnknownVersion
    from streamlog.storage.segment_file import (
        FOOTER_TAG,
        SEGMENT_INFO_BYTES,
        decode_segment_info,
    )

    try:
        info = decode_segment_info(str(path), content)
    except (DamagedFile, UnknownVersion) as error:
        raise CommandFailed(str(error)) from error
    if not as_json:
        typer.echo(
            f"{path}: group {info.identity.group_id}, topic {info.identity.topic_id}, "
            f"partition {info.identity.partition}, from offset {info.base_offset}"
        )
    position, decompressor = SEGMENT_INFO_BYTES, new_decompressor()
    while position < len(content) and content[position] != FOOTER_TAG:
        try:
            header = read_header(content, position)
            check_frame(content, position, header)
            payload = header.payload(content, position)
            if not header.control and not check_payload(header, payload):
                raise CorruptFrame(position, "the producer's checksum is wrong")
        except CorruptFrame as error:
            raise CommandFailed(f"{path}: {error}") from error
        line: dict[str, Any] = {
            "position": position,
            "bytes": header.frame_bytes,
            "base_offset": header.base_offset,
            "end_offset": header.end_offset,
            "term": header.term,
            "records": header.record_count,
            "control": header.control,
            "max_timestamp_ms": header.max_timestamp_ms,
        }
        if header.has_producer:
            line["producer"] = [header.producer_id, header.producer_epoch, header.base_sequence]
        if records and not header.control:
            try:
                decoded = decode_payload(
                    payload, header.codec, header.uncompressed_bytes, decompressor
                )
            except MalformedPayload as error:
                raise CommandFailed(f"{path}: {error}") from error
            line["values"] = [
                {
                    "offset": header.base_offset + record.offset_delta,
                    "key": record.key.decode(errors="replace") if record.HasField("key") else None,
                    "value": record.value.decode(errors="replace"),
                }
                for record in decoded.records
            ]
        typer.echo(json.dumps(line) if as_json else _text(line))
        position += header.frame_bytes


def _text(line: dict[str, Any]) -> str:
    values = line.pop("values", None)
    head = "  ".join(f"{name} {value}" for name, value in line.items())
    if values is None:
        return head
    return "\n".join([head, *(f"    {v['offset']}  {v['key']}  {v['value']}" for v in values)])
