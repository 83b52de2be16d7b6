"""How long clients of tests try: longer than any pause that a busy machine makes."""

from __future__ import annotations

from typing import Final

from streamlog.client import CallPolicy

PATIENCE_S: Final = 60.0
PATIENT: Final = CallPolicy(
    request_timeout_ms=PATIENCE_S * 1_000,
    total_timeout_ms=PATIENCE_S * 1_000,
    unknown_topic_wait_ms=PATIENCE_S * 1_000,
)
"""A change that is not answered in time may have been made, and is not tried again by itself. So
its time is longer than that which a node itself takes to find the leader of the metadata."""
