"""What happens to members of consumer groups, and what operators do to groups that are in use.

A freeze or a silence must be longer than a session to mean anything, so these last as long as they
draw, not as long as other strikes; `GroupLoad.calm` ends them.
"""

from __future__ import annotations

import random
from typing import Final

from jepsen_like.sim.clients.group_load import GroupLoad, MemberProcess
from jepsen_like.sim.clients.group_operator import GroupOperator
from jepsen_like.sim.faults.fault import Fired, Heal, Strike
from jepsen_like.sim.trace import Trace

SESSIONS: Final = (0.2, 2.5)
"""How long a member is away, in session timeouts."""
DELETION_EVERY_S: Final = 3.0
"""So that members have time to do something in between."""


class GroupFaults:
    """Strikes at groups; there is nothing to strike in a simulation without any."""

    def __init__(
        self, load: GroupLoad, operator: GroupOperator, trace: Trace, fired: Fired
    ) -> None:
        self._load, self._operator, self._trace, self._fired = load, operator, trace, fired
        self._deleted_s = float("-inf")

    def faults(self) -> dict[str, Strike]:
        """By name."""
        return {
            "member leaves": self._leave,
            "member hangs": self._hang,
            "member freezes": self._freeze,
            "member crashes": self._crash,
            "other subscription": self._subscribe,
            "reset offsets": self._reset,
            "delete group": self._delete,
            "add partitions": self._add_partition,
        }

    def _member(self, rng: random.Random) -> MemberProcess | None:
        """One that nothing is being done to."""
        idle = [e for e in self._load.processes if not e.frozen and not e.member.going]
        return rng.choice(idle) if idle else None

    def _away_s(self, rng: random.Random) -> float:
        low, high = SESSIONS
        return (low + (high - low) * rng.random()) * self._load.options.session_ms / 1000

    def _leave(self, rng: random.Random) -> Heal | None:
        member = self._member(rng)
        if member is None:
            return None
        member.member.going = True
        self._trace.add(member.process.name, "shall leave")
        return _nothing

    def _hang(self, rng: random.Random) -> Heal | None:
        member = self._member(rng)
        if member is None:
            return None
        away_ms = self._away_s(rng) * 1000
        member.member.hung_until_ms = member.process.environment.clock.monotonic_ms() + away_ms
        self._trace.add(member.process.name, f"says nothing for {away_ms:.0f} ms")
        return _nothing

    def _freeze(self, rng: random.Random) -> Heal | None:
        member = self._member(rng)
        if member is None:
            return None
        self._load.freeze(member, self._away_s(rng))
        return _nothing

    def _crash(self, rng: random.Random) -> Heal | None:
        member = self._member(rng)
        if member is None:
            return None
        self._load.crash(member, silent=rng.random() < 0.4)
        return _nothing

    def _subscribe(self, rng: random.Random) -> Heal | None:
        member = self._member(rng)
        if member is None:
            return None
        member.member.change_subscription()
        return _nothing

    def _reset(self, rng: random.Random) -> Heal | None:
        if not self._load.names or not self._load.known_topic_id():
            return None
        group = rng.choice(self._load.names)
        self._operator.reset(group, rng, lambda: self._fired("reset offsets"))
        return _nothing

    def _delete(self, rng: random.Random) -> Heal | None:
        now_s = self._load.scheduler.now
        if not self._load.names or now_s - self._deleted_s < DELETION_EVERY_S:
            return None
        self._deleted_s = now_s
        group = rng.choice(self._load.names)
        self._operator.delete(group, lambda: self._fired("delete group"))
        return _nothing

    def _add_partition(self, _: random.Random) -> Heal | None:
        if not self._load.names:
            return None
        added = self._operator.add_partition(lambda: self._fired("add partitions"))
        return _nothing if added else None


def _nothing() -> None:
    """What was done to members and groups is over by itself, or stays."""
