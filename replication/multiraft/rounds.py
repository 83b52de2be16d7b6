"""Work for some groups that is done together, a little later: one timer for the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from replication.types import GroupId

Member = TypeVar("Member")


class Rounds(Generic[Member]):
    """Members that asked for the next round; no timer runs while there are none.

    `act` returns whether the member wants the round after this one too.
    """

    def __init__(self, delay_ms: float, act: Callable[[Member], bool]) -> None:
        self._delay_s = delay_ms / 1_000
        self._act = act
        self._members: dict[GroupId, Member] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def __len__(self) -> int:
        return len(self._members)

    def add(self, group_id: GroupId, member: Member) -> None:
        """Take part in the next round."""
        if self._stopped:
            return
        self._members[group_id] = member
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._fire)

    def discard(self, group_id: GroupId) -> None:
        """Take no part."""
        self._members.pop(group_id, None)

    def stop(self) -> None:
        """No more rounds."""
        self._stopped = True
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        members, self._members = self._members, {}
        for group_id, member in members.items():
            if self._act(member):
                self.add(group_id, member)
