"""Where the nodes are that the metadata's log names, before anything of it is known to be committed.

After a restart of all nodes the voters of group 0 must find each other to elect a leader, and only a
leader tells what is committed. Configured are the nodes that the cluster began with; one that came
later, and votes now, stands in the log alone. So its registrations are believed for this one
purpose, committed or not: an address is a hint, and whoever answers there proves who it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from replication.errors import LogCorrupt, OffsetOutOfRange
from replication.log import EntryCodec, ReplicaLog
from replication.types import NodeId, Offset
from streamlog.cluster.metadata.codec import UnreadableMetadata
from streamlog.cluster.metadata.record_codec import decode_record
from streamlog.cluster.metadata.records import NodeRegistered

CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class RememberedAddress:
    """Of a node that registered."""

    address: str
    known_at: Offset
    """Once the metadata is applied so far, it says the same or something newer."""


async def addresses_in_log(
    log: ReplicaLog, codec: EntryCodec, begin: Offset
) -> dict[NodeId, RememberedAddress]:
    """The newest address of each node that registers in [begin, end of the log); of a log that is
    damaged, those before the damage."""
    found: dict[NodeId, RememberedAddress] = {}
    at = max(begin, log.start.end)  # without its snapshot the state begins below the log
    while not log.needs_install and at < log.end.end:
        try:
            frames = await log.read(at, log.end.end, CHUNK_BYTES)
            entries, _ = codec.split(log.creation, frames)
        except (LogCorrupt, OffsetOutOfRange):
            break  # mended by its owner, who has heard of it; or a copy took the log's place
        if not entries:
            break
        for offset, value in codec.values(frames):
            try:
                record = decode_record(value)
            except UnreadableMetadata:
                continue  # of a newer version; whether that is a defect is seen when it is applied
            if isinstance(record, NodeRegistered):
                found[record.node_id] = RememberedAddress(record.address, Offset(offset + 1))
        at = entries[-1].end
    return found
