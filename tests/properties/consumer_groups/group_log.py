"""A coordinator with its log, in memory: what the runtime does, without time and failure."""

from __future__ import annotations

from consumer_groups.commands import Command
from consumer_groups.coordinator.machine import CoordinatorMachine
from consumer_groups.coordinator.state import CoordinatorState, Group
from consumer_groups.errors import invariant
from consumer_groups.limits import RECENT_REBALANCES_MAX
from consumer_groups.records import Record
from consumer_groups.responses import Response
from consumer_groups.types import NO_EPOCH


class GroupLog:
    """Decides commands, keeps the bytes of their records, and replays what it kept."""

    def __init__(self) -> None:
        self.machine = CoordinatorMachine()
        self.state: CoordinatorState = self.machine.initial()
        self.log: list[bytes] = []
        self._snapshot = (0, self.machine.snapshot(self.state))

    def execute(self, command: Command) -> Response:
        """Decide, append, replay. Raises the machine's refusal."""
        return self.decide(command)[0]

    def decide(self, command: Command) -> tuple[Response, tuple[Record, ...]]:
        """As `execute`; also returns the records."""
        decision = self.machine.decide(self.state, command)
        for record in decision.records:
            data = self.machine.encode(record)
            decoded = self.machine.decode(data)
            invariant(decoded == record, "a record changes on its way", record=record)
            self.state = self.machine.replay(self.state, decoded, len(self.log))
            self.log.append(data)
        return decision.response, decision.records

    def take_snapshot(self) -> None:
        """Now; a restart begins from it."""
        self._snapshot = (len(self.log), self.machine.snapshot(self.state))

    def restart(self) -> None:
        """From the last snapshot and the log after it; must come to the same state."""
        start, data = self._snapshot
        state = self.machine.restore(data)
        for offset in range(start, len(self.log)):
            state = self.machine.replay(state, self.machine.decode(self.log[offset]), offset)
        live, self.state = self.state, state
        assert state == live, "a restart comes to another state"
        assert self.machine.snapshot(state) == self.machine.snapshot(live)

    def check(self) -> None:
        """The invariants of every group."""
        for group in self.state.groups.values():
            check_group(group)
        counted = sum(group.commit_count for group in self.state.groups.values())
        assert self.state.commit_count == counted


def check_group(group: Group) -> None:
    """The invariants that the state's docstring states."""
    members = group.members
    assert group.owners == {p: key for key, m in members.items() for p in (*m.owned, *m.revoking)}
    assert sum(len(m.owned) + len(m.revoking) for m in members.values()) == len(group.owners)
    assert group.wanted_by == {p: key for key, m in members.items() for p in m.target}
    assert sum(len(m.target) for m in members.values()) == len(group.wanted_by)
    assert group.instances == {
        m.info.instance_id: key for key, m in members.items() if m.info.instance_id
    }
    assert group.commit_count == sum(len(commits) for commits in group.commits.values())
    assert all(group.commits.values())
    assert len(group.rebalances) <= RECENT_REBALANCES_MAX
    assert group.target_epoch == group.epoch
    assert bool(members) == (group.empty_since_ms == 0)
    for member in members.values():
        assert NO_EPOCH < member.epoch <= group.epoch
        assert not (member.owned.keys() & member.revoking.keys())
        assert set(member.owned) <= set(member.target), "reads what is not in its target"
        assert list(member.target) == sorted(member.target)
        for epoch in (*member.owned.values(), *member.revoking.values()):
            assert NO_EPOCH < epoch <= member.epoch
        if not member.revoking:
            missing = [p for p in member.target if p not in member.owned]
            assert all(p in group.owners for p in missing), "a free partition was not granted"
    if members:
        subscribed = {p for view in group.topics.values() for p in view.partitions()}
        assert set(group.wanted_by) == subscribed, "the target does not cover the topics"
