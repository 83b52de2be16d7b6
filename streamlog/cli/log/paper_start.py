"""What a node would find at its next start: its own recovery, carried out on paper.

Nothing judges a data directory as surely as the code that must live with it: which checkpoint
counts, what the journal proves, up to where files are believed, and which replicas are lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from replication.errors import StorageFailed
from streamlog.cli.log.paper_disk import PaperDisk
from streamlog.host.clock import RealClock
from streamlog.storage.entry_codec import BatchEntryCodec
from streamlog.storage.identity import NodeIdentity
from streamlog.storage.recovery.recovery import Recovered, Recovery
from streamlog.storage.segments.segment_logs import SegmentLogs
from streamlog.storage.segments.segment_resources import SegmentResources, SegmentSettings


@dataclass(frozen=True, slots=True)
class PaperStart:
    """The outcome. Invariant: one of the two is None."""

    recovered: Recovered | None
    refused: str | None
    """Why the node would not start."""


async def start_on_paper(disk: PaperDisk, identity: NodeIdentity) -> PaperStart:
    """Recover; the changes stay in the memory of `disk`."""
    logs = SegmentLogs(
        SegmentResources.create(disk, RealClock()),
        identity.cluster_id,
        BatchEntryCodec(),
        lambda _: SegmentSettings(),
    )
    try:
        recovered = await Recovery(disk, identity.directory_id, logs).run()
    except StorageFailed as error:
        return PaperStart(None, error.cause)
    except OSError as error:
        return PaperStart(None, f"{error.filename}: {error.strerror}")
    for group in recovered.groups:
        if group.segments is not None:
            await group.segments.close()
    return PaperStart(recovered, None)
