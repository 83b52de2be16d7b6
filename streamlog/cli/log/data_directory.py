"""All of one node's data directory, while the node is stopped.

Each file is looked at by itself; then the node's own recovery is carried out on paper, and what it
says of the logs decides what their files must hold.

Invariant: the directory's lock is held meanwhile, so that no node starts on it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from replication.errors import LogCorrupt, StorageFailed
from replication.types import METADATA_GROUP
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.log.finding import (
    COPY_ADVICE,
    LOST_ADVICE,
    NEWER_ADVICE,
    NODE_ADVICE,
    ONLY_COPY_ADVICE,
    Finding,
    Verdict,
    without_path,
)
from streamlog.cli.log.journal_files import JournalCheck
from streamlog.cli.log.log_files import KnownLog, LogFiles, readable
from streamlog.cli.log.node_files import check_checkpoints, check_local_state, check_node_identity
from streamlog.cli.log.paper_disk import PaperDisk
from streamlog.cli.log.paper_start import PaperStart, start_on_paper
from streamlog.cluster import local_state
from streamlog.cluster.local_state import LocalState
from streamlog.host.disk import LOCK_FILE
from streamlog.storage import checkpoint, identity, snapshot_file
from streamlog.storage.entry_codec import topic_identity
from streamlog.storage.identity import NodeIdentity
from streamlog.storage.journal import journal_file
from streamlog.storage.recovery.recovery import Recovered, RecoveredGroup
from streamlog.storage.recovery.replay import GroupReplay
from streamlog.storage.segments.segment_file import SegmentIdentity
from streamlog.storage.segments.segment_logs import (
    GROUPS_DIRECTORY,
    copies_beside,
    group_directory,
    group_of,
    log_directory,
    snapshot_path,
)

FILES: Final = (identity.PATH, local_state.PATH)
DIRECTORIES: Final = (journal_file.DIRECTORY, checkpoint.DIRECTORY, GROUPS_DIRECTORY)
_KNOWN: Final = frozenset({*FILES, *DIRECTORIES, identity.RUNNING_PATH, LOCK_FILE})


def is_data_directory(path: Path) -> bool:
    """Whether it looks like a node's, even if some of it is gone."""
    return any((path / name).is_file() for name in FILES) or any(
        (path / name).is_dir() for name in DIRECTORIES
    )


@contextmanager
def held(root: Path) -> Iterator[None]:
    """Hold the directory's lock. Raises CommandFailed when a node has it."""
    try:
        descriptor = os.open(root / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:  # a copy
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        process = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        raise CommandFailed(
            f"{root}: a node runs on this data directory (process {process}); its files change "
            "while they are read. Stop it first",
            EXIT_USAGE,
        ) from None
    finally:
        os.close(descriptor)


class DataDirectory:
    """The check of one node's directory."""

    def __init__(
        self, root: Path, on_read: Callable[[int], None], on_progress: Callable[[str], None]
    ) -> None:
        """`on_progress` hears what is looked at now."""
        self._root, self._on_read, self._on_progress = root, on_read, on_progress
        self._disk = PaperDisk(root, on_read)
        self._findings: list[Finding] = []

    async def check(self) -> list[Finding]:
        """All that was found. Raises CommandFailed when files may not be read."""
        self._on_progress("the node's files")
        node, finding = await check_node_identity(self._disk)
        state, state_finding = await check_local_state(self._disk, node)
        checkpoints = await check_checkpoints(self._disk, node)
        self._findings += [finding, state_finding, *checkpoints.findings]
        running = await self._check_root()
        self._on_progress("the journal")
        paper = PaperDisk(self._root, self._on_read)
        start = await start_on_paper(paper, node) if node is not None else PaperStart(None, None)
        journal = JournalCheck(
            self._disk,
            node.directory_id if node is not None else None,
            checkpoints.sound,
            start.recovered,
            running=running,
        )
        self._findings += await journal.check()
        if node is not None and start.recovered is not None:
            await self._check_logs(node, start.recovered, state)
        else:
            await self._check_unknown_logs()
        if start.refused is not None and not self._has_damage():
            advice = NEWER_ADVICE if "this version knows" in start.refused else NODE_ADVICE
            self._note(".", f"the node would not start: {start.refused}", advice)
        return self._findings

    def _has_damage(self) -> bool:
        return any(finding.verdict is Verdict.DAMAGED for finding in self._findings)

    async def _check_root(self) -> bool:
        """Whether the last stop was not clean."""
        running = False
        for name in await self._disk.list_directory(""):
            if name == identity.RUNNING_PATH:
                running = True
                what = "the node did not stop in an orderly way"
                self._findings.append(Finding(name, what, Verdict.NORMAL))
            elif name.endswith(".tmp"):
                self._findings.append(Finding(name, "was being written", Verdict.NORMAL))
            elif name not in _KNOWN:
                self._findings.append(Finding(name, "no file of a node", Verdict.FOREIGN))
        return running

    # Logs, as recovery finds them.

    async def _check_logs(
        self, node: NodeIdentity, recovered: Recovered, state: LocalState | None
    ) -> None:
        if state is not None:
            self._check_metadata_replica(recovered, state)
        for path in recovered.unknown:
            what = "neither the checkpoint nor the journal names it"
            self._findings.append(Finding(path, what, Verdict.FOREIGN))
        for group_id in recovered.deleted:
            if (self._root / group_directory(group_id)).exists():
                what = "was being deleted"
                self._findings.append(Finding(group_directory(group_id), what, Verdict.NORMAL))
        for number, group in enumerate(recovered.groups, 1):
            self._on_progress(f"log {number} of {len(recovered.groups)}")
            await self._check_log(node, group)

    def _check_metadata_replica(self, recovered: Recovered, state: LocalState) -> None:
        found = [g.replay.creation for g in recovered.groups if g.replay.group_id == METADATA_GROUP]
        expected = state.metadata_replica_id
        if state.metadata_group_created and not found:
            what = "the node's replica of the metadata is gone"
            self._note(group_directory(METADATA_GROUP), what, NODE_ADVICE)
        elif found and expected not in {None, found[0].local_replica_id}:
            what = (
                f"is another node's: it names replica {expected} of the metadata, here is "
                f"{found[0].local_replica_id}"
            )
            self._note(local_state.PATH, what, NODE_ADVICE)

    async def _check_log(self, node: NodeIdentity, group: RecoveredGroup) -> None:
        replay = group.replay
        directory = group_directory(replay.group_id)
        before = len(self._findings)
        names = await self._disk.list_directory(directory)
        for name in copies_beside(names, replay.generation):
            what = "another copy of the log, not whole or replaced"
            self._findings.append(Finding(f"{directory}/{name}", what, Verdict.NORMAL))
        advice = _advice(replay)
        if replay.damage is None:
            known = known_log(replay, node.cluster_id, advice)
            await self._check_snapshot(replay, known.identity, advice)
            log = LogFiles(
                self._root, log_directory(replay.group_id, replay.generation), known, self._on_read
            )
            self._findings += await log.check()
        told = any(f.verdict is Verdict.DAMAGED for f in self._findings[before:])
        what = f"group {replay.group_id} (topic {topic_identity(replay.creation)}, partition "
        what += f"{replay.creation.partition})"
        if replay.lost is not None:
            self._note(directory, f"{what} is lost: {replay.lost}", LOST_ADVICE)
        elif group.damage is not None and not told:
            self._note(directory, f"{what} waits for a copy: {group.damage}", advice)

    async def _check_snapshot(
        self, replay: GroupReplay, identity: SegmentIdentity, advice: str
    ) -> None:
        path = snapshot_path(replay.group_id, replay.generation)
        start = replay.start.end
        try:
            loaded = await snapshot_file.load(self._disk, path, identity)
            end = loaded[0].end if loaded is not None else None
            freed = replay.creation.freed_by_snapshots
            snapshot_file.check_reach(end, path, identity, start, freed_by_snapshots=freed)
        except OSError as error:
            self._note(path, readable(error), advice)
        except LogCorrupt as error:
            if start > 0:
                self._note(path, error.detail, advice)
            else:  # The log is whole, and the state machine begins with that.
                self._findings.append(Finding(path, error.detail, Verdict.REBUILT))
        except StorageFailed as error:
            self._note(path, error.cause, NEWER_ADVICE)
        else:
            if end is not None:
                self._findings.append(Finding(path, f"state up to offset {end}"))

    # Logs of which nothing is known.

    async def _check_unknown_logs(self) -> None:
        for name in await self._disk.list_directory(GROUPS_DIRECTORY):
            group_id = group_of(name)
            if group_id is None or not (self._root / GROUPS_DIRECTORY / name).is_dir():
                path = f"{GROUPS_DIRECTORY}/{name}"
                self._findings.append(Finding(path, "no log", Verdict.FOREIGN))
                continue
            self._on_progress(f"group {group_id}")
            for below in await self._disk.list_directory(group_directory(group_id)):
                directory = f"{group_directory(group_id)}/{below}"
                if (self._root / directory).is_dir():
                    log = LogFiles(self._root, directory, None, self._on_read)
                    self._findings += await log.check()

    def _note(self, file: str, what: str, advice: str) -> None:
        self._findings.append(Finding(file, without_path(file, what), Verdict.DAMAGED, advice))


def known_log(replay: GroupReplay, cluster_id: int, advice: str) -> KnownLog:
    """What a log's files must hold."""
    creation, durable, end = replay.creation, replay.durable, replay.trusted
    active: int | None = None
    required = False
    if any(end == start.end for start in replay.starts):
        active = end
    elif end >= durable.end.end:
        active, required = durable.segment_base, durable.position > 0
    return KnownLog(
        SegmentIdentity(
            cluster_id, topic_identity(creation), creation.partition, creation.group_id
        ),
        min(replay.start.end, end),
        end,
        active,
        required,
        advice,
    )


def _advice(replay: GroupReplay) -> str:
    """Whether another replica has what is gone."""
    others = [
        member
        for member in replay.memberships[-1][1].replicas()
        if member.replica_id != replay.creation.local_replica_id
    ]
    return COPY_ADVICE if others else ONLY_COPY_ADVICE
