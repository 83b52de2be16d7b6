"""Whether the store can take more data: what is bounded, and by which limit.

Asked before an entry gets its place in a log, because afterwards it can not be refused. Votes,
truncations, control entries and deletions are never asked about: the reserves are theirs.

The free space of the disk is asked for in the background, every few megabytes and every second in
which something is appended, since others may fill the disk too; between two answers what was
appended is subtracted.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Final, Protocol

from replication.errors import DiskFull, Overloaded, StorageFailed
from replication.ports import Clock, Disk
from streamlog.storage.journal.journal import Journal
from streamlog.storage.store_settings import StoreSettings

_ASK_AGAIN_BYTES: Final = 8 << 20
_ASK_AGAIN_MS: Final = 1_000.0
_UNWRITTEN_FACTOR: Final = 4


class AdmissionHost(Protocol):
    """What admission needs of the store."""

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None: ...

    def fail(self, error: StorageFailed) -> None: ...

    def request_checkpoint(self) -> None:
        """The journal is running full."""
        ...


class Admission:
    """Decides on data, one append at a time."""

    def __init__(
        self,
        disk: Disk,
        clock: Clock,
        journal: Journal,
        settings: StoreSettings,
        host: AdmissionHost,
    ) -> None:
        self._disk = disk
        self._clock = clock
        self._journal = journal
        self._settings = settings
        self._host = host
        self._reserve = min(settings.journal_reserve_bytes, settings.journal.file_bytes)
        self.disk_reserve_bytes = settings.disk_reserve_bytes
        """Kept free; may be changed."""
        self._disk_free = 0
        self._appended_since = 0
        self._asked_ms = 0.0
        self._asking = False

    async def start(self) -> None:
        """Learn the free space. Raises OSError."""
        self._disk_free = await self._disk.free_bytes()
        self._asked_ms = self._clock.monotonic_ms()

    @property
    def disk_free_bytes(self) -> int:
        """Space left on the disk, the reserve included, as far as is known."""
        return max(0, self._disk_free - self._appended_since)

    def check(self, size_bytes: int, unwritten_bytes: int) -> None:
        """Raises Overloaded or DiskFull when so many bytes can not be taken now."""
        journal, settings = self._journal, self._settings
        pending = journal.pending_bytes + size_bytes
        if pending > settings.pending_bytes_max:
            raise Overloaded("queue of the journal (bytes)", pending, settings.pending_bytes_max)
        limit = settings.unwritten_bytes_max * _UNWRITTEN_FACTOR
        if unwritten_bytes + size_bytes > limit:
            raise Overloaded("queue of segment writes (bytes)", unwritten_bytes, limit)
        room = journal.free_bytes - pending - self._reserve
        if room < self._reserve:
            self._host.request_checkpoint()
        if room < 0:
            raise Overloaded(
                "journal (bytes)",
                journal.live_bytes,
                settings.journal.file_bytes * settings.journal.files_max,
            )
        free = self._disk_free - self._appended_since
        if free - size_bytes < self.disk_reserve_bytes:
            self._ask(unless_before_ms=_ASK_AGAIN_MS)
            raise DiskFull(size_bytes, max(0, free - self.disk_reserve_bytes))

    def appended(self, size_bytes: int) -> None:
        """So many bytes will be written to segments."""
        self._appended_since += size_bytes
        is_much = self._appended_since >= _ASK_AGAIN_BYTES
        self._ask(unless_before_ms=0.0 if is_much else _ASK_AGAIN_MS)

    def _ask(self, *, unless_before_ms: float) -> None:
        now = self._clock.monotonic_ms()
        if self._asking or now - self._asked_ms < unless_before_ms:
            return
        self._asking = True
        self._host.spawn(self._learn(), "free space of the disk")

    async def _learn(self) -> None:
        before = self._appended_since
        try:
            self._disk_free = await self._disk.free_bytes()
        except OSError as error:
            self._host.fail(StorageFailed("asking for free space", str(error)))
            return
        finally:
            self._asking = False
        # What was appended before may not be written yet: half of it stays counted.
        self._appended_since = self._appended_since - before + before // 2
        self._asked_ms = self._clock.monotonic_ms()
