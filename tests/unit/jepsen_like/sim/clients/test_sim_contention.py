"""Appenders that contend for one partition's end: they do contend, and lies are found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jepsen_like.linearizability.search import GoMissing, ready
from jepsen_like.sim.clients.contention import Contention
from jepsen_like.sim.clients.recorder import Recorder
from jepsen_like.sim.options import draw_options
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.simulation import simulate


@pytest.fixture
def contention() -> Contention:
    """Without clients. Skipped where the search can not be built."""
    try:
        ready()
    except GoMissing as missing:
        pytest.skip(str(missing))
    options, scheduler = draw_options(1), Scheduler(1)
    return Contention(scheduler, Fabric(scheduler, options.network()), options, [])


def stored(recorder: Recorder, process: str, expected: int, offset: int) -> None:
    """An append that was called and acknowledged at once."""
    sent = recorder.invoke(process, "send", 0, value=f"{process}-{offset}", expected=expected)
    recorder.ok(sent, offset=offset)


def refused(recorder: Recorder, process: str, expected: int, end: int) -> None:
    """An append whose condition did not hold."""
    sent = recorder.invoke(process, "send", 0, value=f"{process}-{end}", expected=expected)
    recorder.fail(sent, "", end=end)


def test_what_happened_in_some_order_is_no_violation(contention: Contention) -> None:
    """A refusal tells the end that it met."""
    recorder = contention.recorder
    stored(recorder, "a", 0, 1)
    refused(recorder, "b", 0, 2)
    stored(recorder, "b", 2, 2)
    judged = contention.judge()
    assert (judged.operations, judged.violations, judged.unknown) == (3, (), 0)


def test_a_condition_that_did_not_hold_is_a_violation(contention: Contention) -> None:
    """Two appends that both asked for the same end can not both be stored."""
    recorder = contention.recorder
    stored(recorder, "a", 0, 1)
    stored(recorder, "b", 0, 2)
    (violation,) = contention.judge().violations
    assert violation.startswith("not linearizable: key 0")


def test_a_refusal_by_what_was_not_there_is_a_violation(contention: Contention) -> None:
    """It told of an end that the log never had."""
    recorder = contention.recorder
    stored(recorder, "a", 0, 1)
    refused(recorder, "b", 0, 7)
    assert contention.judge().violations


def test_appenders_contend_in_a_simulation() -> None:
    """A short run without faults: their operations are recorded, and judged where that can be."""
    options = replace(
        draw_options(3),
        nodes=1,
        controllers=1,
        partitions=1,
        replication_factor=1,
        faults=(),
        load_ms=1_000.0,
        producers=0,
        consumers=0,
        groups=0,
        appenders=2,
    )
    outcome = simulate(3, options)
    assert not outcome.violations
    assert outcome.counts["contended"] > 20
