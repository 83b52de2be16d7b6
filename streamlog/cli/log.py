"""`streamlog log`: reads segment files offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.options import examples
from streamlog.cli.output import Output, OutputOption, show
from streamlog.cli.records.printer import text_of

if TYPE_CHECKING:
    from streamlog.model.batch import BatchHeader
    from streamlog.storage.segment_file import SegmentInfo

Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH...", help="Segment files, or directories that hold some."),
]


def register(application: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Files of a node, read offline: dump, verify.", no_args_is_help=True)
    group.command(
        "dump",
        epilog=examples(
            "streamlog log dump node-1", "streamlog log dump --records -o json FILE.segment"
        ),
    )(dump)
    group.command("verify", epilog=examples("streamlog log verify node-1 node-2 node-3"))(verify)

    @group.callback()
    def root() -> None:
        """Read a node's files."""

    application.add_typer(group, name="log")


def dump(
    paths: Paths,
    records: Annotated[
        bool, typer.Option("--records", help="Print the records of each batch too.")
    ] = False,
    output: OutputOption = Output.TABLE,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as -o json: one object a line.", hidden=True)
    ] = False,
) -> None:
    """Print the batches of segment files.

    Each is checked; exit code 1 at the first that is damaged.
    """
    for path in segment_files(paths):
        _dump(path, records=records, as_json=as_json or output is Output.JSON)


def verify(paths: Paths, output: OutputOption = Output.TABLE) -> None:
    """Check every checksum and offset of segment files.

    Exit code 1 when one is damaged.

    Do it while the node is stopped: the end of a file that is being written looks torn. After a
    crash the end of the newest file may be torn in fact; the node cuts it off when it starts.
    """
    rows = [_verify(path) for path in segment_files(paths)]
    show(rows, output, none="no segment files")
    if any(row["state"] != "ok" for row in rows):
        raise CommandFailed(
            f"{sum(row['state'] != 'ok' for row in rows)} of {len(rows)} files are damaged"
        )


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


class DamagedSegment(Exception):
    """A segment file is not what it should be; the message says where."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file's content and identity."""

    content: bytes
    info: SegmentInfo

    def batches(self) -> Iterator[tuple[int, BatchHeader, bytes]]:
        """Position, header and payload of each batch, checked. Raises DamagedSegment."""
        from streamlog.model.batch import CorruptFrame, check_frame, check_payload, read_header
        from streamlog.storage.segment_file import FOOTER_TAG, SEGMENT_INFO_BYTES

        content, position = self.content, SEGMENT_INFO_BYTES
        expected = self.info.base_offset
        while position < len(content) and content[position] != FOOTER_TAG:
            try:
                header = read_header(content, position)
                check_frame(content, position, header)
                payload = header.payload(content, position)
                if not header.control and not check_payload(header, payload):
                    raise CorruptFrame(position, "the producer's checksum is wrong")
            except CorruptFrame as error:
                raise DamagedSegment(str(error)) from error
            if header.base_offset != expected:
                raise DamagedSegment(
                    f"the batch at byte {position} begins at offset {header.base_offset}, "
                    f"not at {expected}"
                )
            yield position, header, payload
            position += header.frame_bytes
            expected = header.end_offset


def _read(path: Path) -> Segment:
    """Raises CommandFailed (unreadable), DamagedSegment (not a segment of a known version)."""
    from streamlog.storage.sealed_file import DamagedFile, UnknownVersion
    from streamlog.storage.segment_file import decode_segment_info

    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
    try:
        return Segment(content, decode_segment_info(path.name, content))
    except (DamagedFile, UnknownVersion) as error:
        raise DamagedSegment(str(error)) from error


def _verify(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {
        "file": str(path),
        "group": None,
        "start": None,
        "end": None,
        "batches": 0,
        "records": 0,
        "state": "ok",
    }
    try:
        segment = _read(path)
        row["group"] = segment.info.identity.group_id
        row["start"] = row["end"] = segment.info.base_offset
        for _, header, _ in segment.batches():
            row["batches"] += 1
            row["records"] += 0 if header.control else header.record_count
            row["end"] = header.end_offset
    except DamagedSegment as error:
        row["state"] = str(error)
    return row


def _dump(path: Path, *, records: bool, as_json: bool) -> None:
    try:
        segment = _read(path)
        info = segment.info
        if not as_json:
            typer.echo(
                f"{path}: group {info.identity.group_id}, topic {info.identity.topic_id}, "
                f"partition {info.identity.partition}, from offset {info.base_offset}"
            )
        for position, header, payload in segment.batches():
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
                line["producer"] = [
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                ]
            if records and not header.control:
                line["values"] = _values(header, payload)
            typer.echo(json.dumps({"file": str(path)} | line) if as_json else _text(line))
    except DamagedSegment as error:
        raise CommandFailed(f"{path}: {error}") from error


def _values(header: BatchHeader, payload: bytes) -> list[dict[str, Any]]:
    """The records of a batch, as JSON has them. Raises DamagedSegment."""
    from streamlog.model.record_set import MalformedPayload, decode_payload, new_decompressor

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
