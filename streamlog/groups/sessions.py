"""One connected member: what waits to be sent to it, and why its stream ends.

An assignment is not queued but marked as due and made when it is sent, from what is committed
then: a slow member gets the newest one instead of a backlog, and memory is bounded without one.

Invariant: at most REPLIES_MAX answers wait; a member that lets more come up is cut off.
"""

from __future__ import annotations

import asyncio
from typing import Final

from consumer_groups.coordinator.state import Member
from consumer_groups.types import GroupName, MemberId
from replication.errors import Overloaded

REPLIES_MAX: Final = 256


class MemberSession:
    """The stream of a member, as the coordinator sees it."""

    def __init__(self, group: GroupName, member_id: MemberId) -> None:
        self.group, self.member_id = group, member_id
        self.handled_count = -1
        """As the member last said."""
        self.ended = False
        self.reason: Exception | None = None
        """Why it ended; None: the member wanted it so."""
        self._seen: Member | None = None
        self._assignment_due = False
        self._replies: list[bytes] = []
        self._wake = asyncio.Event()

    def follow(self, member: Member) -> None:
        """The member is this now; if that concerns it, it is told."""
        seen, self._seen = self._seen, member
        if (
            seen is None
            or seen.epoch != member.epoch
            or seen.owned is not member.owned
            or seen.revoking is not member.revoking
        ):
            self.tell_assignment()

    def tell_assignment(self) -> None:
        """Send what the member owns, as it is when it is sent."""
        self._assignment_due = True
        self._wake.set()

    def reply(self, message: bytes) -> None:
        """Send an answer."""
        if len(self._replies) >= REPLIES_MAX:
            self.end(Overloaded("queue of answers to a member", REPLIES_MAX, REPLIES_MAX))
            return
        self._replies.append(message)
        self._wake.set()

    def end(self, reason: Exception | None) -> None:
        """End the stream once the answers that wait are sent. The first reason counts."""
        if not self.ended:
            self.ended, self.reason = True, reason
            self._wake.set()

    async def something_to_send(self) -> None:
        """Returns when there is an assignment or an answer to be sent, or the stream ends."""
        await self._wake.wait()
        self._wake.clear()

    def take_assignment_due(self) -> bool:
        """An assignment is to be sent now."""
        due, self._assignment_due = self._assignment_due, False
        return due and not self.ended

    @property
    def over(self) -> bool:
        """It ended, and every answer was taken."""
        return self.ended and not self._replies

    def take_replies(self) -> list[bytes]:
        """Answers to be sent now, oldest first."""
        taken, self._replies = self._replies, []
        return taken
