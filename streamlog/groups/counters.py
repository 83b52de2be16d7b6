"""What the coordinators of a node count for operators: facts of the logs that they lead."""

from __future__ import annotations

from collections.abc import Iterable

from consumer_groups.records import Cause, EpochBumped, OffsetsCommitted, Record


class GroupCounters:
    """Of one node, from its start, over all of its terms."""

    def __init__(self) -> None:
        self.commits = 0
        """Commits that took effect, of members and of others, resets included."""
        self.committed_positions = 0
        self.rebalances: dict[Cause, int] = dict.fromkeys(Cause, 0)

    def applied(self, records: Iterable[Record]) -> None:
        """These were committed while this node led."""
        for record in records:
            if isinstance(record, OffsetsCommitted):
                self.commits += 1
                self.committed_positions += len(record.offsets)
            elif isinstance(record, EpochBumped):
                self.rebalances[record.cause] += 1
