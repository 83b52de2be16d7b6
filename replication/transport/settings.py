"""Bounds and times of the streams between nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """All limits of the transport, with units last."""

    connect_timeout_ms: float = 1_000.0
    """From opening a stream to the peer's Hello, 10 to 60,000."""
    stall_timeout_ms: float = 2_000.0
    """A control stream without an answer for this long is given up, and all streams to the peer
    with it: a connection that lost its other end retransmits for minutes. 100 to 60,000."""
    backoff_min_ms: float = 50.0
    """First pause before a new connection; doubles up to `backoff_max_ms`, half of it random."""
    backoff_max_ms: float = 1_000.0
    control_queue_messages_max: int = 50_000
    """Votes, probes and the like waiting for one peer; above it new ones are dropped and counted
    (each is asked again by its own timer)."""
    append_queue_bytes_max: int = 8 << 20
    """Entries waiting for one peer; at the bound groups wait for room. 64 KiB to 1 GiB."""
    append_message_bytes_max: int = 1 << 20
    """Appends of many groups are gathered into one message up to this size; one append alone may
    be larger."""
    replies_queue_messages_max: int = 50_000
    """Answers waiting for one peer; as for control."""
