"""From what a stop or a crash left to logs that may be used.

1. The newest checkpoint that passes its checks; without any, the journal must begin at its first
   file. A checkpoint or a journal file that is missing stops the node: it is never guessed.
2. The journal from the checkpoint's file on (`journal/scan`), replayed on paper group by group
   (`replay`).
3. What was read is written again, durably: this process may have seen it in the page cache only.
4. Each group's segment files up to what may be believed, then the journal's entries above,
   written anew even where the files look equal, and fsynced: what this process reads in the page
   cache need not be on the disk.

The store then begins a fresh journal file and writes a checkpoint before it says anything, so the
old journal is not needed again, and a crash during recovery finds everything as before.

Where part of the journal is rotten, every group that the checkpoint does not prove to lie outside
is lost: it may have forgotten a vote, so its replica takes part no more, and another one, of a new
id, takes its place. The checkpoint that ends the recovery says so, for later starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import google_crc32c

from replication.errors import LogCorrupt, StorageFailed
from replication.ports import Disk
from replication.types import GroupCreation, GroupId, HardState, LogPosition, Offset, Term
from streamlog.storage import checkpoint, snapshot_file
from streamlog.storage.group.write_queue import GroupState
from streamlog.storage.interfaces import SegmentCheckpoint
from streamlog.storage.journal import journal_file
from streamlog.storage.journal.frame import FORMAT_VERSION, FrameKind
from streamlog.storage.journal.scan import Gap, JournalFiles, JournalScan, ScannedFrame
from streamlog.storage.recovery.replay import GroupReplay, Piece, created_of
from streamlog.storage.sealed_file import UnknownVersion
from streamlog.storage.segments.segment_log import GroupSegmentLog
from streamlog.storage.segments.segment_logs import (
    GROUPS_DIRECTORY,
    SegmentLogs,
    group_directory,
    group_of,
    log_directory,
    snapshot_path,
)
from streamlog.storage.storage_codec import pending_log_starts, rebase_memberships

_ADVICE: Final = (
    "What this node promised may be in there, so it does not start without it: put it back as it"
    " was. If it is lost, start a node in its place, on an empty data directory and under a node"
    " id that was never used"
)
_WRITE_BYTES: Final = 4 << 20
_VERIFY_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class RecoveredGroup:
    """A group with its log, fsynced; without one when a whole copy is needed, or, of a group that
    is lost, when nothing of it is left."""

    replay: GroupReplay
    state: GroupState
    segments: GroupSegmentLog | None
    damage: str | None


@dataclass(frozen=True, slots=True)
class Recovered:
    """All of a node's logs."""

    groups: Sequence[RecoveredGroup]
    """By group id."""
    deleted: Sequence[GroupId]
    """Their deletion is journalled; their directories may still be there."""
    unknown: Sequence[str]
    """Directories that neither the checkpoint nor the journal names: left alone."""
    next_lsn: int
    last_crc32c: int
    first_file_sequence: int
    """In which the checkpoint's replay began; the next checkpoint but one no longer needs it."""
    journal_sequences: Sequence[int]
    checkpoint_generation: int
    gaps: Sequence[Gap]
    damaged_checkpoints: Sequence[str]
    replayed_frames: int


class Recovery:
    """One recovery."""

    def __init__(self, disk: Disk, journal_id: int, logs: SegmentLogs) -> None:
        self._disk = disk
        self._journal_id = journal_id
        self._logs = logs
        self._files = JournalFiles(disk)
        self._groups: dict[GroupId, GroupReplay] = {}
        self._deleted: dict[GroupId, None] = {}
        self._frames = 0
        self._begin_lsn = 0

    async def run(self) -> Recovered:
        """Recover. Raises StorageFailed when the node must not start, OSError."""
        try:
            return await self._run()
        except UnknownVersion as error:
            raise StorageFailed("recovery", str(error)) from error
        except StorageFailed as error:
            raise StorageFailed(error.operation, f"{error.cause}. {_ADVICE}") from error
        finally:
            await self._files.close()

    async def _run(self) -> Recovered:
        loaded = await checkpoint.load_newest(self._disk, self._journal_id)
        await journal_file.remove_unfinished(self._disk)
        sequences = await journal_file.list_sequences(self._disk)
        message = loaded.message
        begin_lsn = 0
        first_sequence, first_lsn = 1, 1
        if message is not None:
            begin_lsn = self._begin_lsn = message.begin_lsn
            first_sequence, first_lsn = message.first_file_sequence, message.first_file_lsn
            for group in message.groups:
                replay = GroupReplay.from_checkpoint(group, begin_lsn, self._logs.codec)
                self._groups[replay.group_id] = replay
            self._deleted = dict.fromkeys(GroupId(g) for g in message.deleted_groups)
        await self._check_journal(sequences, first_sequence, known=message is not None)
        needed = [sequence for sequence in sequences if sequence >= first_sequence]
        scan = JournalScan(self._files, self._journal_id, needed, first_lsn)
        gaps = 0
        while (flush := await scan.next_flush()) is not None:
            for gap in scan.gaps[gaps:]:
                self._lose(gap)
            gaps = len(scan.gaps)
            for frame in flush:
                self._take(frame)
        damage = await scan.unread_damage()
        if damage is not None:
            raise StorageFailed("recovery", f"{damage}: votes and records may be lost")
        generation = await self._prove(loaded, scan)
        missing = self._missing_end(scan, begin_lsn)
        for gap in (*scan.gaps[gaps:], *missing):
            self._lose(gap)
        next_lsn = max(
            [scan.next_lsn, begin_lsn + 1, *(g.covered_lsn + 1 for g in self._groups.values())]
        )
        groups = [
            await self._recover_group(self._groups[group_id])
            for group_id in sorted(self._groups)
            if group_id not in self._deleted
        ]
        if groups:
            try:
                await self._disk.sync_directory(GROUPS_DIRECTORY)
            except FileNotFoundError:
                raise StorageFailed(
                    "recovery", f"{GROUPS_DIRECTORY}/ is missing, with {len(groups)} logs"
                ) from None
            await self._disk.sync_directory("")
        return Recovered(
            groups=groups,
            deleted=tuple(sorted(self._deleted)),
            unknown=await self._unknown_directories(),
            next_lsn=next_lsn,
            last_crc32c=scan.last_crc32c,
            first_file_sequence=first_sequence,
            journal_sequences=sequences,
            checkpoint_generation=generation,
            gaps=(*scan.gaps, *missing),
            damaged_checkpoints=loaded.damaged,
            replayed_frames=self._frames,
        )

    async def _prove(self, loaded: checkpoint.LoadedCheckpoint, scan: JournalScan) -> int:
        """Write again what may have been read from the page cache only, before it is acted on.

        Returns the newest generation of the checkpoints.
        """
        for place in scan.unproven:
            data = await self._files.read(place.file_sequence, place.position, place.length)
            await journal_file.write_again(self._disk, place.file_sequence, place.position, data)
        if loaded.message is None:
            return 0
        generation = loaded.newest_generation + 1
        await checkpoint.write_content(self._disk, generation, loaded.content)
        return generation

    async def _check_journal(
        self, sequences: Sequence[int], first_sequence: int, *, known: bool
    ) -> None:
        """Raise StorageFailed when files are missing that recovery can not do without."""
        if not known:
            held = await self._disk.list_directory(GROUPS_DIRECTORY)
            if not sequences and held:
                raise StorageFailed(
                    "recovery",
                    f"{GROUPS_DIRECTORY}/ holds {len(held)} directories, but there is neither a "
                    f"checkpoint in {checkpoint.DIRECTORY}/ nor a journal in "
                    f"{journal_file.DIRECTORY}/",
                )
            if sequences and sequences[0] != first_sequence:
                raise StorageFailed(
                    "recovery",
                    f"there is no checkpoint in {checkpoint.DIRECTORY}/, and the journal begins at "
                    f"{journal_file.path_of(sequences[0])}, not at its first file",
                )
        elif first_sequence not in sequences:
            raise StorageFailed(
                "recovery",
                f"{journal_file.path_of(first_sequence)} is missing: the checkpoint needs it",
            )
        for sequence in sequences:
            if sequence >= first_sequence:
                scan = JournalScan(self._files, self._journal_id, (), 0)
                header = await scan.header(sequence)
                if header is not None and header.version > FORMAT_VERSION:
                    raise UnknownVersion(
                        journal_file.path_of(sequence), header.version, FORMAT_VERSION
                    )

    def _take(self, frame: ScannedFrame) -> None:
        group_id = GroupId(frame.header.group_id)
        self._frames += 1
        group = self._groups.get(group_id)
        created = None
        if frame.header.kind is FrameKind.CREATED and frame.header.lsn > self._begin_lsn:
            created = created_of(frame)
        if group is None or group.deleted or _is_later(created, group):
            if created is not None:
                # The first replica of the group here, or a later one: then the deletion of the one
                # before, its directory's removal included, was durable before.
                replay = GroupReplay(created, frame.header.lsn, self._logs.codec)
                self._groups[group_id] = replay
                self._deleted.pop(group_id, None)
            # Else of a group deleted since, or of one whose creation lies in a rotten part: its
            # directory is reported as unknown.
            return
        group.take(frame)
        if group.deleted:
            self._deleted[group_id] = None

    def _missing_end(self, scan: JournalScan, begin_lsn: int) -> tuple[Gap, ...]:
        """What was durable beyond the journal's end: a checkpoint proves how far it reached."""
        proven = max([begin_lsn, *(g.covered_lsn for g in self._groups.values())])
        if proven < scan.next_lsn:
            return ()
        return (Gap(scan.next_lsn, proven + 1, journal_file.DIRECTORY, 0),)

    def _lose(self, gap: Gap) -> None:
        """Groups that the gap may have told of are lost."""
        for group in self._groups.values():
            if group.covered_lsn < gap.resumed_lsn - 1:
                group.lose(
                    f"frames {gap.first_lsn} to {gap.resumed_lsn - 1} of the journal can not "
                    f"be read ({gap.path}, byte {gap.position})"
                )

    async def _recover_group(self, replay: GroupReplay) -> RecoveredGroup:
        segments: GroupSegmentLog | None = None
        damage = replay.damage
        if damage is None:
            path = snapshot_path(replay.group_id, replay.generation)
            try:
                # A state machine can not begin without it, and peers have another.
                await snapshot_file.load_below(
                    self._disk,
                    path,
                    self._logs.identity(replay.creation),
                    replay.start.end,
                    freed_by_snapshots=replay.creation.freed_by_snapshots,
                )
                segments = await self._open(replay)
            except (LogCorrupt, FileNotFoundError) as error:
                damage = str(error)
        memberships = replay.memberships
        end = LogPosition(Term(0), Offset(0))
        if segments is not None:
            memberships = rebase_memberships(memberships, segments.start.end)
            end = segments.end
        hard_state = replay.hard_state
        if replay.lost is not None and hard_state.term < end.term:  # saved in what was lost
            hard_state = HardState(end.term, None)
        state = GroupState(
            replay.generation,
            replay.start,
            end,
            hard_state,
            memberships,
            log_starts=pending_log_starts(replay.log_starts, replay.start.end),
            lost=replay.lost is not None,
        )
        return RecoveredGroup(replay, state, segments, damage)

    async def _open(self, replay: GroupReplay) -> GroupSegmentLog:
        """The group's log: what may be believed of its files, then what the journal holds.

        Raises LogCorrupt.
        """
        directory = log_directory(replay.group_id, replay.generation)
        trusted = await self._logs.checkpoint_below(
            replay.creation, directory, replay.durable, replay.trusted, replay.starts
        )
        if replay.trusted == 0:
            segments = await self._logs.create(replay.creation, directory)
        else:
            segments = await self._logs.open(
                replay.creation,
                directory,
                start=_start_below(replay, trusted),
                checkpoint=trusted,
            )
        try:
            _check_terms(segments, replay, trusted.end.end)
            # Of a process that was killed, names may be here, or gone, in the page cache only: a
            # state that was removed would come back in a power cut after other entries took its
            # offsets, and what replaces a file must outlive it.
            await self._disk.sync_directory(directory)
            for reference in replay.references:
                if reference.begin >= segments.start.end:
                    await self._verify(segments, replay, reference.begin, reference.end)
            for piece in replay.pieces:
                await self._append(segments, replay, piece)
            await segments.cut_files()
            await segments.checkpoint()
            if replay.trusted == 0:
                await self._disk.sync_directory(group_directory(replay.group_id))
        except LogCorrupt:
            await segments.close()
            raise
        return segments

    async def _verify(
        self, segments: GroupSegmentLog, replay: GroupReplay, begin: Offset, end: Offset
    ) -> None:
        """The bytes of a large append are what its reference says."""
        expected = next(r.message for r in replay.references if r.begin == begin)
        crc, length, at = 0, 0, begin
        while at < end:
            frames = await segments.read(at, end, _VERIFY_BYTES)
            crc = google_crc32c.extend(crc, frames)
            length += len(frames)
            entries, _ = self._logs.codec.split(replay.creation, frames)
            at = entries[-1].end
        if (crc, length) != (expected.crc32c, expected.length):
            raise LogCorrupt(
                replay.group_id,
                f"offsets {begin} to {end}",
                f"CRC32C {crc:08x} of {length} bytes, but the journal says "
                f"{expected.crc32c:08x} of {expected.length}",
            )

    async def _append(self, segments: GroupSegmentLog, replay: GroupReplay, piece: Piece) -> None:
        data = await self._files.read(piece.file_sequence, piece.position, piece.length)
        entries, frames = self._logs.codec.split(replay.creation, data)
        kept = sum(1 for entry in entries if entry.end <= piece.kept_end)
        if not kept:
            return
        if entries[0].base != segments.end.end:
            raise LogCorrupt(
                replay.group_id,
                f"journal frame {piece.lsn}",
                f"appends at {entries[0].base}, but the log ends at {segments.end.end}",
            )
        segments.append(frames[:kept], entries[:kept])
        if segments.pending_bytes >= _WRITE_BYTES:
            await segments.write_pending()

    async def _unknown_directories(self) -> tuple[str, ...]:
        """Those that hold something.

        (A crash while a group was being created leaves an empty directory: nothing to look at.)
        """
        unknown: list[str] = []
        for name in await self._disk.list_directory(GROUPS_DIRECTORY):
            group_id = group_of(name)
            if group_id is not None and (group_id in self._groups or group_id in self._deleted):
                continue
            directory = f"{GROUPS_DIRECTORY}/{name}"
            try:
                inside = await self._disk.list_directory(directory)
            except NotADirectoryError:
                unknown.append(directory)
                continue
            for below in inside:
                try:
                    held = await self._disk.list_directory(f"{directory}/{below}")
                except NotADirectoryError:
                    held = [below]
                if held:
                    unknown.append(directory)
                    break
        return tuple(unknown)


def _is_later(created: GroupCreation | None, group: GroupReplay) -> bool:
    """A replica was made after this one, whose deletion was lost with part of the journal."""
    return (
        created is not None
        and group.lost is not None
        and created.local_replica_id > group.creation.local_replica_id
    )


def _check_terms(segments: GroupSegmentLog, replay: GroupReplay, end: Offset) -> None:
    """Raise LogCorrupt unless the batches below `end` are of the terms that the checkpoint names:
    a batch that was cut away, and is there still because a later write was lost, is of another."""
    end = min(end, replay.terms_end)
    start = max(segments.start.end, replay.starts[0].end)
    found, expected = (
        [(term, offset) for term, offset in terms if start < offset < end]
        for terms in (segments.terms, replay.terms)
    )
    if found != expected:
        raise LogCorrupt(
            replay.group_id,
            log_directory(replay.group_id, replay.generation),
            f"terms and their first offsets are {found}, the checkpoint says {expected}",
        )


def _start_below(replay: GroupReplay, trusted: SegmentCheckpoint) -> LogPosition:
    """The log's start, unless the start moved above what may be believed of the files: files
    below it are then still there, because they go only when a checkpoint reaches the start."""
    return min((replay.start, trusted.end), key=lambda position: position.end)
