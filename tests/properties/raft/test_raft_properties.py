"""Raft's properties through random lives of a group; and that planted faults are found.

A failure names its seed; `Life(SEED).run(STEPS)` replays it.
"""

from __future__ import annotations

import pytest

from replication.raft.effects import Effect, Send
from replication.raft.events import Event
from replication.raft.messages import VoteResponse
from replication.raft.pending_writes import SENT_AT_ONCE
from replication.raft.quorum import majority_end
from replication.raft.replica import RaftReplica
from replication.types import Membership, Offset
from tests.properties.raft.raft_fuzz import Life, PropertyViolated

STEPS = 1200


@pytest.mark.parametrize("seed", range(40))
def test_the_properties_hold_in_every_step_and_the_group_serves_after_healing(seed: int) -> None:
    """One leader a term, one vote a term, log matching, leader completeness, one history of
    committed entries on a majority of disks, reads that miss nothing, and liveness at the end."""
    Life(seed).run(STEPS)
