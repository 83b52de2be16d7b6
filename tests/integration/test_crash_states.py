"""The storage engine over thousands of distinct disks that a power cut may leave."""

from __future__ import annotations

import pytest

from jepsen_like.crash_states.runs import examine, share_of
from jepsen_like.crash_states.workloads import WORKLOADS, Workload

STATES = 5_000
"""Of all workloads together."""
SEED = 1


@pytest.mark.parametrize("workload", WORKLOADS, ids=[w.name for w in WORKLOADS])
def test_recovery_copes_with_every_state(workload: Workload) -> None:
    """What was reported durable is there, nothing else is, and the store goes on, through crashes
    during the recovery too."""
    share = share_of(workload, STATES)
    outcome = examine(workload, share, SEED)
    shown = [f"{f.command}\n    {f.reason}" for f in outcome.failures]
    assert not outcome.failed, f"{outcome.failed} of {outcome.states}:\n" + "\n".join(shown)
    assert outcome.states >= share
    assert outcome.during_recovery > share // 8


def test_the_shares_add_up() -> None:
    """The tests above judge so many states together."""
    assert sum(share_of(workload, STATES) for workload in WORKLOADS) >= STATES
