"""Where the CPU goes: seconds by kind of thread of some processes, between two moments."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

KINDS = {
    "event_engine": "gRPC",
    "grpc_global_tim": "gRPC",
    "default-executo": "gRPC",
    "resolver-execut": "gRPC",
    "lifeguard": "gRPC",
}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_ticks(pids: list[int]) -> Counter[str]:
    """So far, by "event loop", "gRPC" and "other threads" (disk and the log), summed up.

    Of TICKS_PER_S a second.
    """
    found: Counter[str] = Counter()
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                name = (task / "comm").read_text().strip()
                fields = (task / "stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue  # it ended meanwhile
            kind = "event loop" if task.name == str(pid) else KINDS.get(name, "other threads")
            found[kind] += int(fields[11]) + int(fields[12])
    return found
