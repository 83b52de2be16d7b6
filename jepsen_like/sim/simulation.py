"""One simulation: a seed in, an outcome out.

| phase | ends when |
|---|---|
| found | the topic is created |
| load | its time is over; meanwhile the nemesis strikes |
| heal | the metadata decided something, and every partition took a record; within 10 s |
| own | every partition of every consumer group has an owner, and every member knows what it owns |
| finish | producers have heard of everything they sent |
| commit | groups have committed everything that was acknowledged; then their members leave |
| drain | a reader has read every partition to its end |
| rest | nothing moves between nodes any more |
| settle | replicas have the same committed end, and coordinators the state that their log says |

Then the checkers look at the history. Nothing but the seed (and the code) decides what happens.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from jepsen_like.checkers import check
from jepsen_like.checkers.history import Operation, to_json_lines
from jepsen_like.sim.checks.coordinator_replay import CoordinatorReplay
from jepsen_like.sim.checks.group_rest import behind, unsettled
from jepsen_like.sim.checks.invariants import InvariantBroken, Invariants
from jepsen_like.sim.checks.replicas import record_replicas, settled
from jepsen_like.sim.clients.contention import Contention, Judgement
from jepsen_like.sim.clients.group_load import GroupLoad
from jepsen_like.sim.clients.group_operator import GroupOperator
from jepsen_like.sim.clients.recorder import Recorder
from jepsen_like.sim.clients.workload import ADMIN_PATIENCE_MS, Workload
from jepsen_like.sim.cluster import BuildNode, SimCluster, SimNode
from jepsen_like.sim.faults.group_faults import GroupFaults
from jepsen_like.sim.faults.nemesis import Nemesis
from jepsen_like.sim.options import ROT, SimOptions, draw_options
from jepsen_like.sim.ports.fabric import Fabric
from jepsen_like.sim.ports.scheduler import Livelock, Scheduler, silence
from jepsen_like.sim.trace import EXPLAINED_BY_ROT, Trace, TraceLog
from streamlog.storage.damage import DamagedRange

T = TypeVar("T")

HEALED_WITHIN_S: Final = 10.0
"""What RELIABILITY promises: with a majority a partition serves again within this time."""
FINISH_WITHIN_S: Final = 90.0
DRAIN_WITHIN_S: Final = 60.0
SETTLE_WITHIN_S: Final = 20.0
START_STAGGER_S: Final = 0.3
REST_WITHIN_S: Final = 60.0
SETTLE_POLL_S: Final = 0.1
MENDED_WITHIN_S: Final = 60.0
OWNED_SLACK_S: Final = 5.0
"""For members that wait between two tries."""
COMMIT_WITHIN_S: Final = 60.0
ENOUGH_TO_MEND: Final = 3
"""Nodes, so that others have what one of them can not read back."""
NOT_JUDGED: Final = "not judged"
"""Count of the histories of appends for which the search found no verdict, or was not there."""
DISTRUSTED: Final = frozenset({"replica_distrusted"})
"""Told of each replica whose journal is damaged."""


class StepFailed(Exception):
    """A phase did not end as it must."""


@dataclass(slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    options: SimOptions
    violations: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    history: list[Operation] = field(default_factory=list)
    traced: str = ""
    """Digest of the trace."""
    network: str = ""
    """What the network counted."""
    events: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    strikes: dict[str, int] = field(default_factory=dict)
    strikes_tried: int = 0
    """With those that did nothing."""
    load_ms: float = 0.0
    """How much of the load had passed at the end."""
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of trace, history, events and time: equal for two runs of a seed."""
        digest = hashlib.sha256(self.traced.encode())
        digest.update(to_json_lines(self.history).encode())
        digest.update(f"{self.events} {self.virtual_s!r} {self.network}".encode())
        return digest.hexdigest()


_left: Final[list[object]] = []
"""Worlds of a process that ends."""


class Simulation:
    """The parts of one run."""

    def __init__(self, options: SimOptions, build_node: BuildNode) -> None:
        self.options = options
        self.load_began = 0.0
        """Virtual time."""
        self.scheduler = Scheduler(options.seed)
        self.trace = Trace(self.scheduler)
        self.fabric = Fabric(self.scheduler, options.network())
        self.replay = CoordinatorReplay()
        self.invariants = Invariants(self.trace, self.replay.committed if options.groups else None)
        self.scheduler.after_turn = self.invariants.after_turn
        self.cluster = SimCluster(
            self.scheduler,
            self.fabric,
            self.trace,
            self.invariants,
            options=options,
            build_node=build_node,
        )
        self.recorder = Recorder(self.scheduler)
        self.workload = Workload(
            self.scheduler,
            self.fabric,
            self.trace,
            options,
            self.cluster.addresses,
            self.recorder,
        )
        self.contention = Contention(self.scheduler, self.fabric, options, self.cluster.addresses)
        self.groups = GroupLoad(
            self.scheduler,
            self.fabric,
            self.trace,
            options,
            self.cluster.addresses,
            self.recorder,
        )
        self.operator = GroupOperator(self.groups)
        self.nemesis = Nemesis(
            self.scheduler,
            self.fabric,
            self.cluster,
            self.invariants,
            trace=self.trace,
            options=options,
            groups=lambda fired: GroupFaults(
                self.groups, self.operator, self.trace, fired
            ).faults(),
        )

    def run(self) -> None:
        """All phases. Raises StepFailed, InvariantBroken."""
        options, scheduler = self.options, self.scheduler
        rng = scheduler.random("start")
        for node in self.cluster.nodes.values():
            delay = START_STAGGER_S * rng.random()
            scheduler.call_later(delay, lambda node=node: self._start(node))  # type: ignore[misc]
        self._complete("found", self.workload.create_topic(), 2 * ADMIN_PATIENCE_MS / 1000)
        producers = self.workload.start_producers()
        consumers = self.workload.start_consumers()
        self.contention.start()
        if options.groups:
            self.groups.start()
            self.operator.start()
        self.load_began = scheduler.now
        self.nemesis.start()
        scheduler.run(scheduler.now + options.load_ms / 1000)
        self.groups.calm()
        self.contention.calm()
        self.nemesis.heal_all()
        healed_s = scheduler.now
        settling = self._begin_to_settle()
        self._complete("heal", self.workload.probe(), HEALED_WITHIN_S)
        self._have_operator("nodes are not in service", self.nemesis.membership.into_service)
        self._own(healed_s, settling)
        for task in producers:
            self._complete("finish", task, FINISH_WITHIN_S)
        for task in self.contention.tasks:
            self._complete("finish", task, FINISH_WITHIN_S)
        self._commit()
        self.workload.working = False
        for task in consumers:
            self._complete("finish", task, FINISH_WITHIN_S)
        self._complete("drain", self.workload.drain(), DRAIN_WITHIN_S)
        contended = self.contention.drain()
        if contended is not None:
            self._complete("drain", contended, DRAIN_WITHIN_S)
        self._mend()
        self._have_operator("partitions move still", self.nemesis.membership.bring_to_rest)
        self._compare()
        self.invariants.settle()

    def _start(self, node: SimNode) -> None:
        if node.life is None:
            self.cluster.start(node)

    def _complete(self, phase: str, task: asyncio.Task[None], seconds: float) -> None:
        try:
            self.scheduler.complete(task, seconds)
        except TimeoutError:
            raise StepFailed(f"{phase} did not end within {seconds:.0f} s") from None
        except (InvariantBroken, Livelock):
            raise
        except Exception as error:
            raise StepFailed(f"{phase} failed: {error!r}") from error
        self.trace.add("simulation", f"{phase} done")

    def _owned_within_s(self) -> float:
        """A session and a revocation may have to run out after the cluster serves again."""
        options = self.options
        return HEALED_WITHIN_S + OWNED_SLACK_S + (options.session_ms + options.rebalance_ms) / 1000

    def _begin_to_settle(self) -> list[Operation]:
        within_ms = round(1000 * self._owned_within_s())
        return [
            self.recorder.invoke("groups", "settle", number, number=within_ms, group=group)
            for group in self.groups.names
            if self.groups.living(group)
            for number in range(self.options.partitions)
        ]

    def _own(self, healed_s: float, settling: list[Operation]) -> None:
        """Groups come to rest in time, which the history tells."""
        scheduler = self.scheduler
        if not self.options.groups:
            return
        deadline = healed_s + self._owned_within_s()
        while (waiting := unsettled(self.cluster, self.groups)) is not None:
            if scheduler.now > deadline:
                raise StepFailed(f"groups did not come to rest: {waiting}")
            scheduler.run(scheduler.now + SETTLE_POLL_S)
        for operation in settling:
            self.recorder.ok(operation)
        for task in self.operator.busy:
            self._complete("own", task, FINISH_WITHIN_S)
        self.trace.add("simulation", "own done")

    def _commit(self) -> None:
        """Groups get to the end of what was acknowledged; then everybody leaves."""
        if not self.options.groups:
            return
        deadline = self.scheduler.now + COMMIT_WITHIN_S
        while (waiting := behind(self.cluster, self.groups)) is not None:
            if self.scheduler.now > deadline:
                raise StepFailed(f"not committed within {COMMIT_WITHIN_S:.0f} s: {waiting}")
            self.scheduler.run(self.scheduler.now + SETTLE_POLL_S)
        for task in self.groups.go():
            self._complete("commit", task, COMMIT_WITHIN_S)
        self._complete("commit", self.operator.read_positions(), COMMIT_WITHIN_S)

    def _mend(self) -> None:
        """Everything that rotted is found and mended, unless the node refuses to go on; so is what
        a disk would not give for once, where others have it."""
        deadline = self.scheduler.now + MENDED_WITHIN_S
        if any(self.nemesis.strikes[name] for name in ROT):
            self._scrub(self.nemesis.rot.node, deadline)
        mendable = self.options.aimed_disk_errors and self.options.nodes >= ENOUGH_TO_MEND
        while mendable and (damage := self._damage()):
            if self.scheduler.now >= deadline:
                raise StepFailed(f"not mended within {MENDED_WITHIN_S:.0f} s: {damage}")
            self.scheduler.run(self.scheduler.now + SETTLE_POLL_S)

    def _damage(self) -> list[DamagedRange]:
        """Of all nodes that serve."""
        return [
            damaged
            for node in self.cluster.members()
            if node.is_serving and node.life is not None
            if (member := node.life.node.member) is not None
            for damaged in member.store.damage.open.values()
        ]

    def _scrub(self, node: SimNode, deadline: float) -> None:
        """Read everything on the node that rots, once it knows that all of it is committed."""
        scheduler = self.scheduler
        while not node.retired:
            life = node.life
            member = life.node.member if life is not None and node.is_serving else None
            if life is not None and member is not None:
                groups = life.node.groups.values()
                everything = all(group.commit_end == group.log.end.end for group in groups)
                task = life.loop.create_task(member.cluster.scrubber.round())
                self._run_until_done(task, node, deadline)
                if task.done() and everything and not member.store.damage.open:
                    task.result()
                    self.trace.add("simulation", "scrub done")
                    return
            if scheduler.now >= deadline:
                damage = list(member.store.damage.open.values()) if member is not None else "down"
                raise StepFailed(f"not mended within {MENDED_WITHIN_S:.0f} s: {damage}")
            scheduler.run(scheduler.now + SETTLE_POLL_S)

    def _run_until_done(self, task: asyncio.Task[T], node: SimNode, deadline: float) -> None:
        """Until the task of a node ends, or the node's process does, or the time is up."""
        life = node.life
        self.scheduler.run(deadline, lambda: task.done() or node.life is not life)

    def _have_operator(
        self, failure: str, work: Callable[[SimNode], Coroutine[None, None, bool]]
    ) -> None:
        """Have an operator do it, through whichever node serves, until it is done."""
        scheduler = self.scheduler
        deadline = scheduler.now + REST_WITHIN_S
        while True:
            serving = [node for node in self.cluster.members() if node.is_serving]
            for node in serving[:1]:
                life = node.life
                assert life is not None
                task = life.loop.create_task(work(node))
                self._run_until_done(task, node, deadline)
                if task.done() and task.result():
                    return
            if scheduler.now >= deadline:
                raise StepFailed(f"{failure} after {REST_WITHIN_S:.0f} s")
            scheduler.run(scheduler.now + SETTLE_POLL_S)

    def _compare(self) -> None:
        """Have what the replicas hold in the history, all as of one moment."""
        scheduler = self.scheduler
        deadline = scheduler.now + MENDED_WITHIN_S
        self._settle()
        while not record_replicas(scheduler, self.cluster, self.recorder):
            if scheduler.now >= deadline:
                raise StepFailed(f"no moment to compare replicas within {MENDED_WITHIN_S:.0f} s")
            scheduler.run(scheduler.now + SETTLE_POLL_S)
            self._mend()
            self._settle()

    def _settle(self) -> None:
        deadline = self.scheduler.now + SETTLE_WITHIN_S
        while (waiting := settled(self.cluster)) is not None:
            if self.scheduler.now > deadline:
                raise StepFailed(f"not settled within {SETTLE_WITHIN_S:.0f} s: {waiting}")
            self.scheduler.run(self.scheduler.now + SETTLE_POLL_S)
        self.invariants.settle()
        while (wrong := self.replay.differing(self.cluster)) is not None:
            if self.scheduler.now > deadline:
                raise StepFailed(f"a coordinator's state is not the replay of its log: {wrong}")
            self.scheduler.run(self.scheduler.now + SETTLE_POLL_S)

    def dispose(self) -> None:
        """Forget everything; to be collected within `silence`."""
        self.fabric.on_handler_error = None
        self.scheduler.let_go(
            [*self.cluster.loops, *self.workload.loops, *self.groups.loops, *self.contention.loops]
        )


def simulate(
    seed: int, options: SimOptions | None = None, *, process_ends: bool = False
) -> Outcome:
    """Run a seed and check it. In a process that ends afterwards its world is left as it is: taking
    that apart costs a tenth of the time."""
    from streamlog.server.node import build_node  # the root that `streamlog server` has

    outcome = Outcome(seed, options if options is not None else draw_options(seed))
    began = time.process_time()
    if process_ends:
        gc.disable()
        simulation = Simulation(outcome.options, build_node)
        _left.append(simulation)
        _run(outcome, simulation)
    else:
        with _undisturbed(), silence():
            simulation = Simulation(outcome.options, build_node)
            try:
                _run(outcome, simulation)
            finally:
                simulation.dispose()
                del simulation
    outcome.cpu_s = time.process_time() - began
    return outcome


def _run(outcome: Outcome, simulation: Simulation) -> None:
    log = TraceLog(simulation.trace)
    with _logging_to(log):
        try:
            simulation.run()
        except (InvariantBroken, StepFailed, Livelock) as violation:
            outcome.violations.append(f"{type(violation).__name__}: {violation}")
        except Exception as defect:  # a seed that can not be judged has not passed
            outcome.violations.append(f"the simulator failed: {defect!r}")
    outcome.violations.extend(simulation.cluster.all_failures())
    outcome.violations.extend(simulation.workload.defects)
    outcome.violations.extend(simulation.groups.defects)
    outcome.violations.extend(simulation.contention.defects)
    outcome.violations.extend(simulation.operator.defects)
    rotten = {f"node {n.node_id}" for n in simulation.cluster.nodes.values() if n.rotten}
    outcome.violations.extend(
        f"logged: {who} {what}"
        for who, event, what in log.errors
        if who not in rotten or event not in EXPLAINED_BY_ROT
    )
    _conclude(outcome, simulation)
    outcome.counts["replicas lost"] = sum(event in DISTRUSTED for _, event, _ in log.errors)


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    """What simulated nodes log goes there and nowhere else: a record that somebody keeps keeps the
    frames of dead processes alive."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, [handler]
    try:
        yield
    finally:
        root.handlers = before


def _conclude(outcome: Outcome, simulation: Simulation) -> None:
    history = simulation.recorder.history
    judged = Judgement()
    if not outcome.violations:
        outcome.violations.extend(str(violation) for violation in check(history))
        judged = simulation.contention.judge()
        outcome.violations.extend(judged.violations)
    outcome.history = history
    outcome.trace = simulation.trace.lines
    outcome.events = simulation.scheduler.events
    outcome.virtual_s = simulation.scheduler.now
    counters = simulation.fabric.counters
    outcome.strikes = {
        **simulation.nemesis.strikes,
        **simulation.cluster.witnessed(),
        "message lost": counters.messages_lost,
        "message overtaken": counters.messages_overtaken,
    }
    outcome.strikes_tried = simulation.nemesis.number
    outcome.load_ms = 1000 * max(0.0, simulation.scheduler.now - simulation.load_began)
    outcome.counts = {
        "operations": sum(o.kind == "invoke" for o in history),
        "acknowledged": sum(o.what == "send" and o.kind == "ok" for o in history),
        "refused": sum(o.what == "send" and o.kind == "fail" for o in history),
        "unknown": sum(o.what == "send" and o.kind == "info" for o in history),
        "refusals": sum(node.retired for node in simulation.cluster.nodes.values()),
        "lives": sum(node.lives for node in simulation.cluster.nodes.values()),
        "elections": simulation.invariants.elections,
        "grants": sum(o.what == "grant" for o in history),
        "commits": sum(o.what == "commit" and o.kind == "ok" for o in history),
        "commits refused": sum(o.what == "commit" and o.kind == "fail" for o in history),
        "coordinator records": simulation.replay.records,
        "scrubs": sum(
            node.life.node.member.cluster.scrubber.rounds
            for node in simulation.cluster.nodes.values()
            if node.life is not None and node.life.node.member is not None
        ),
        "invariant checks": simulation.invariants.checks,
        "states compared": simulation.invariants.machines.compared,
        "messages": counters.messages,
        "connections broken": counters.connections_broken,
        "contended": judged.operations,
        NOT_JUDGED: judged.unknown,
    }
    outcome.traced = simulation.trace.digest()
    outcome.network = repr(counters)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection while a simulation runs: when it comes depends on what ran before,
    and it runs code (of abandoned coroutines, for instance).

    What was there before is kept out of the collection at the end: going through all modules took
    a tenth of a simulation's time.
    """
    enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
