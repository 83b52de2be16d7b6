"""Times and bounds of replication on a node, with their ranges."""

from __future__ import annotations

from dataclasses import dataclass, fields

from replication.raft.limits import RaftLimits
from replication.transport.settings import TransportSettings


class SettingOutOfRange(ValueError):
    """A setting lies outside its range."""

    def __init__(self, name: str, value: float, low: float, high: float) -> None:
        self.name, self.value, self.low, self.high = name, value, low, high
        super().__init__(f"{name} is {value}: it must be {low:g} to {high:g}")


_RANGES: dict[str, tuple[float, float]] = {
    "election_timeout_ms": (50, 60_000),
    "heartbeat_interval_ms": (5, 20_000),
    "commit_flush_ms": (0, 1_000),
    "retry_interval_ms": (10, 10_000),
    "elections_per_second": (1, 1_000_000),
    "append_bytes_max": (4 << 10, 64 << 20),
    "inflight_bytes_max": (64 << 10, 1 << 30),
    "pending_reads_max": (1, 1_000_000),
    "group_uncommitted_bytes_max": (64 << 10, 1 << 30),
    "node_uncommitted_bytes_max": (64 << 10, 64 << 30),
    "node_unsynced_bytes_max": (64 << 10, 64 << 30),
    "peer_queue_bytes_max": (64 << 10, 1 << 30),
    "log_reads_max": (1, 1_024),
    "installs_max": (1, 64),
    "install_chunk_bytes": (4 << 10, 3 << 20),
    "install_window_bytes": (64 << 10, 8 << 20),
    "install_snapshot_bytes_max": (1 << 10, 1 << 30),
    "announced_groups_max": (1, 10_000_000),
    "disk_full_pause_ms": (1, 60_000),
}


@dataclass(frozen=True, slots=True)
class ReplicationSettings:
    """All settings of the multi-raft driver. Raises SettingOutOfRange; ranges are in `_RANGES`."""

    election_timeout_ms: float = 1_000.0
    """A node unheard for this long is taken for dead; also bounds a transfer of leadership and
    the time a leader's disk may stall."""
    heartbeat_interval_ms: float = 100.0
    """Between two heartbeats to a node; at most a third of the election timeout."""
    commit_flush_ms: float = 4.0
    """How long followers may stay uninformed of a commit when no entries go out."""
    retry_interval_ms: float = 400.0
    """A probe without an answer is repeated after this."""
    elections_per_second: float = 1_000.0
    """Elections this node begins after another one died: heartbeats go between them."""
    append_bytes_max: int = 1 << 20
    """Bytes of entries in one AppendEntries; one larger entry goes alone."""
    inflight_bytes_max: int = 8 << 20
    """Unacknowledged bytes to one peer of one group."""
    pending_reads_max: int = 1_024
    """Rounds of linearizable reads of a group that may wait."""
    group_uncommitted_bytes_max: int = 16 << 20
    """Proposed but uncommitted bytes of one group; above it proposals are Overloaded."""
    node_uncommitted_bytes_max: int = 96 << 20
    """The same for all groups that this node leads."""
    node_unsynced_bytes_max: int = 48 << 20
    """Bytes received from leaders and not yet fsynced; above it append streams are read no
    further."""
    peer_queue_bytes_max: int = 8 << 20
    """Entries that wait for one peer's stream; above it groups wait for room."""
    log_reads_max: int = 16
    """Reads of logs from disk, for peers that are behind, at the same time."""
    installs_max: int = 2
    """Copies of logs this node sends at the same time; one at a time for each peer."""
    install_chunk_bytes: int = 1 << 20
    install_window_bytes: int = 8 << 20
    """Bytes of a copy that may be unanswered."""
    install_snapshot_bytes_max: int = 128 << 20
    """Largest snapshot that is taken from a leader."""
    announced_groups_max: int = 1_000_000
    """Groups whose announced leaders are remembered; the longest known goes first."""
    disk_full_pause_ms: float = 1_000.0
    """After a full disk refused an entry, further ones are refused without asking it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = _RANGES[field.name]
            if not low <= value <= high:
                raise SettingOutOfRange(field.name, value, low, high)
        if self.heartbeat_interval_ms > self.election_timeout_ms / 3:
            raise SettingOutOfRange(
                "heartbeat_interval_ms",
                self.heartbeat_interval_ms,
                _RANGES["heartbeat_interval_ms"][0],
                self.election_timeout_ms / 3,
            )

    def raft_limits(self) -> RaftLimits:
        """What of it bounds the core."""
        return RaftLimits(
            append_bytes_max=self.append_bytes_max,
            inflight_bytes_max=self.inflight_bytes_max,
            pending_reads_max=self.pending_reads_max,
        )

    def transport(self) -> TransportSettings:
        """What of it bounds the transport."""
        return TransportSettings(
            connect_timeout_ms=max(self.election_timeout_ms, 500.0),
            stall_timeout_ms=2 * self.election_timeout_ms,
            append_queue_bytes_max=self.peer_queue_bytes_max,
            append_message_bytes_max=self.append_bytes_max,
        )
