"""The records that every system under test gets: 166-byte JSON events, and incompressible ones.

Seeded, so that each run and each system sees the same bytes.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

EVENT_BYTES = 166
DISTINCT_EVENTS = 20_000
BLOB_BYTES = 1_024
DISTINCT_BLOBS = 2_000
ACTIONS = ("view", "click", "search", "purchase")


def json_events() -> list[bytes]:
    """Distinct click-stream events of exactly EVENT_BYTES each."""
    rng = random.Random(166)
    events = []
    for number in range(DISTINCT_EVENTS):
        event = {
            "id": number,
            "user": f"user-{rng.randrange(10_000):05d}",
            "action": rng.choice(ACTIONS),
            "page": f"/products/{rng.randrange(5_000)}",
            "ts": 1_700_000_000_000 + number * 7,
            "session": f"{rng.getrandbits(64):016x}",
            "price": round(rng.random() * 100, 2),
        }
        text = json.dumps(event, separators=(",", ":"))[:-1] + ',"note":"'
        events.append((text + "x" * (EVENT_BYTES - len(text) - 2) + '"}').encode())
    assert all(len(event) == EVENT_BYTES for event in events)
    return events


def incompressible_blobs() -> list[bytes]:
    """Distinct random values of BLOB_BYTES each."""
    rng = random.Random(1_024)
    return [rng.randbytes(BLOB_BYTES) for _ in range(DISTINCT_BLOBS)]


def write_payload_file(path: Path) -> None:
    """The events, one a line, for tools that read a file."""
    path.write_bytes(b"\n".join(json_events()) + b"\n")
