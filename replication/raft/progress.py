"""How far one peer is, as its leader sees it (Raft thesis sections 3.5 and 10.2.1).

| state     | what is sent                                            | left when |
|---|---|---|
| PROBE     | one message at a time from `next`, to find where logs agree | accepted → REPLICATE |
| REPLICATE | a pipeline, `next` moves on with each message sent      | refused, disconnected → PROBE |
| INSTALL   | nothing: the log is copied over the bulk stream          | the copy ended → PROBE |

At most one SendEntries is with the driver for a peer, in any state.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from replication.types import LogPosition, Offset, ReplicaId


class ProgressState(Enum):
    """How a peer is being served."""

    PROBE = "probe"
    REPLICATE = "replicate"
    INSTALL = "install"


PROBE, REPLICATE, INSTALL = ProgressState.PROBE, ProgressState.REPLICATE, ProgressState.INSTALL


class PeerProgress:
    """One peer's place in the log. The leader keeps one for itself: only `match` counts there.

    Invariant: match <= next.end; `match` is fsynced by the peer and only falls when the peer
    says that it lost its log; `inflight_bytes` is the sum over `_inflight`.
    """

    __slots__ = (
        "_inflight",
        "asked",
        "awaiting",
        "inflight_bytes",
        "install_floor",
        "match",
        "next",
        "replica_id",
        "state",
        "told",
    )

    def __init__(self, replica_id: ReplicaId, next_position: LogPosition) -> None:
        self.replica_id = replica_id
        self.state = PROBE
        self.match = Offset(0)
        self.next = next_position
        self.asked: LogPosition | None = None
        """`previous` of the SendEntries that is with the driver."""
        self.awaiting = False
        """PROBE: the probe is on its way, or its answer is."""
        self.told = Offset(0)
        """Commit that the peer knows once it took everything that was sent."""
        self.install_floor: Offset | None = None
        """INSTALL: the copy may begin when the commit has reached this; None: it has begun."""
        self._inflight: deque[tuple[Offset, int]] = deque()
        self.inflight_bytes = 0

    def sent(self, last: LogPosition, size_bytes: int) -> None:
        """REPLICATE: everything up to `last` is on its way."""
        self.next = last
        self._inflight.append((last.end, size_bytes))
        self.inflight_bytes += size_bytes

    def acknowledge(self, match: Offset) -> bool:
        """The peer's fsynced log is the leader's up to `match`; True when that is news."""
        if match <= self.match:
            return False
        self.match = match
        inflight = self._inflight
        while inflight and inflight[0][0] <= match:
            self.inflight_bytes -= inflight.popleft()[1]
        return True

    def probe(self, position: LogPosition) -> None:
        """Ask from `position` whether the logs agree; what was in flight counts as lost."""
        self._restart(PROBE, position)

    def replicate(self, position: LogPosition) -> None:
        """The logs agree up to `position`: send on from there."""
        self._restart(REPLICATE, position)

    def install(self, floor: Offset | None) -> None:
        """Copy the log, once the commit has reached `floor`."""
        self._restart(INSTALL, self.next)
        self.install_floor = floor

    def _restart(self, state: ProgressState, position: LogPosition) -> None:
        self.state, self.next = state, position
        self.awaiting = False
        self.told = Offset(0)
        self.install_floor = None
        self._inflight.clear()
        self.inflight_bytes = 0
