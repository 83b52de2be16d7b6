"""Which parts of a journal may rot so that the promises still hold.

Rot in a flush that no later MARK covers can not be told from a torn tail (`docs/guarantees.md`
names the window), so only flushes that one covers are struck; and the MARK must be on the platter,
for the power may be cut next.
"""

from __future__ import annotations

from dataclasses import dataclass

from jepsen_like.sim.ports.disk import SimDisk
from streamlog.storage.journal.frame import (
    BLOCK_BYTES,
    MARK_FRAME_BYTES,
    FrameKind,
    decode_file_header,
    decode_frame,
    decode_mark,
    may_be_mark,
    padded,
    salt,
)

JOURNAL = "journal/"


@dataclass(frozen=True, slots=True)
class FlushPlace:
    """Where a flush lies, in whole blocks."""

    path: str
    start: int
    end: int
    """Exclusive."""


def journal_files(disk: SimDisk) -> list[str]:
    """Paths, in the order of writing."""
    return [p for p in disk.files() if p.startswith(JOURNAL) and p.endswith(".journal")]


def proven_flushes(disk: SimDisk) -> list[FlushPlace]:
    """Flushes on the platter that a MARK on the platter proves to have been durable."""
    found: list[tuple[FlushPlace, int]] = []
    durable_lsn = 0
    for path in journal_files(disk):
        platter = disk.volume.file(path).durable
        header = decode_file_header(platter.read(0, BLOCK_BYTES))
        if header is None:
            continue
        file_salt = salt(header.journal_id, header.sequence)
        at = BLOCK_BYTES
        while at + MARK_FRAME_BYTES <= len(platter):
            data = platter.read(at, MARK_FRAME_BYTES)
            frame = decode_frame(file_salt, data, 0, len(data)) if may_be_mark(data) else None
            mark = decode_mark(frame[1]) if frame and frame[0].kind is FrameKind.MARK else None
            if frame is None or mark is None:
                at += BLOCK_BYTES
                continue
            end = at + padded(mark.flush_bytes)
            found.append((FlushPlace(path, at, end), frame[0].lsn + mark.frame_count))
            durable_lsn = max(durable_lsn, mark.durable_lsn)
            at = end
    return [place for place, last_lsn in found if last_lsn <= durable_lsn]
