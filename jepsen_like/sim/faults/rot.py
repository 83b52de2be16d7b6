"""Damage to what is stored: on one node of a run, so that it is a minority of every partition.

| fault | what is damaged | how |
|---|---|---|
| bit rot (of an index: index rot, too) | segments, their indexes and states | a bit turns over, a chunk is zeros or another chunk, the end is missing |
| journal rot | journal files | the same, within what `journal_proof` allows |
| checkpoint rot | checkpoints | the same, or the file is an older one |
| state rot | `cluster.state`, `node.identity` | the same |
| snapshot rot | snapshots of state machines | the same; or a chunk is found in another place, too, or was meant for a segment |
| lost write | segments, indexes, states, snapshots, journal | a write that was reported durable never reached the platter |
| misdirected write | the same | and it landed in another place, of the same file or of another |
| lost file | any of these, but for the newest journal file | its name is gone; who has it open goes on with it |

All but bit rot show when the node starts, so its process is ended when the strike heals.

What may come of it: nothing; a repair from peers; for files without which a node can not know what
it promised, a refusal to start or to go on, in a typed error. Then the node stays down
(`SimNode.retired`), and the others must do without it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jepsen_like.sim.cluster import SimCluster
from jepsen_like.sim.faults.fault import Fired, Heal, Strike
from jepsen_like.sim.faults.journal_proof import JOURNAL, journal_files, proven_flushes
from jepsen_like.sim.options import ROT, SimOptions
from jepsen_like.sim.ports.content import Content
from jepsen_like.sim.ports.disk import SimDisk
from jepsen_like.sim.ports.scheduler import Scheduler
from jepsen_like.sim.ports.volume import SECTOR_BYTES, Inode
from jepsen_like.sim.trace import Trace
from streamlog.storage.segments.segment_file import INDEX, SEGMENT, STATE, TIME_INDEX

INDEXES: Final = (f".{INDEX}", f".{TIME_INDEX}")
SEGMENT_FILES: Final = tuple(f".{kind}" for kind in (SEGMENT, INDEX, TIME_INDEX, STATE))
"""What can be mended from peers or made again while the node runs on."""
CHECKPOINT: Final = ".checkpoint"
SNAPSHOT: Final = ".snapshot"
STATE_FILES: Final = ("cluster.state", "node.identity")
WRITTEN_FILES: Final = (*SEGMENT_FILES, SNAPSHOT)
"""Outside the journal, what a write may be lost of, or land in."""
TEMPORARY: Final = ".tmp"
"""A file that is written whole has it after its name until it is renamed."""
WRITES_REMEMBERED_MAX: Final = 200
VERSIONS_REMEMBERED_MAX: Final = 4
"""Earlier contents of each small file."""
STATE_ROT_PROBABILITY: Final = 0.25
"""How often a strike at a file that the node can not do without is carried out: it ends the
node, and with it what else can be seen of rot in a run."""
SEEN_AT_ONCE_PROBABILITY: Final = 0.7
"""How often the node's process ends when damage heals, so that the next one meets it."""


@dataclass(frozen=True, slots=True)
class RememberedWrite:
    """A write, and what was there before."""

    path: str
    """Where the file is once it has its name."""
    inode: Inode
    offset: int
    before: bytes
    """As long as `after`; zeros beyond the file's end then."""
    after: bytes


class Rot:
    """Damages the files of one node."""

    def __init__(
        self,
        scheduler: Scheduler,
        cluster: SimCluster,
        options: SimOptions,
        trace: Trace,
        fired: Fired,
    ) -> None:
        self.node = scheduler.random("rotting").choice(list(cluster.nodes.values()))
        """The one node whose stored bytes may rot."""
        self._cluster, self._trace, self._fired = cluster, trace, fired
        self._writes: deque[RememberedWrite] = deque(maxlen=WRITES_REMEMBERED_MAX)
        self._versions: dict[str, list[bytes]] = {}
        self._remembers = any(f in ROT for f in options.faults)
        if "lost write" in options.faults or "misdirected write" in options.faults:
            self.node.disk.faults.witness = self._witness

    def faults(self) -> dict[str, Strike]:
        """By name."""
        return {
            "bit rot": self._rot_segments,
            "journal rot": self._rot_journal,
            "checkpoint rot": lambda rng: self._rot_small(rng, self._files(CHECKPOINT)),
            "state rot": self._rot_state,
            "snapshot rot": lambda rng: self._rot_small(rng, self._files(SNAPSHOT)),
            "lost write": lambda rng: self._lose_write(rng, misdirect=False),
            "misdirected write": lambda rng: self._lose_write(rng, misdirect=True),
            "lost file": self._lose_file,
        }

    def remember(self) -> None:
        """Keep what small files hold now: later it is stale."""
        if not self._remembers:
            return
        for path in self._files(*STATE_FILES, SNAPSHOT, CHECKPOINT):
            kept = self._versions.setdefault(path, [])
            content = self._disk.content(path)
            if not kept or kept[-1] != content:
                kept.append(content)
                del kept[:-VERSIONS_REMEMBERED_MAX]

    @property
    def _disk(self) -> SimDisk:
        return self.node.disk

    def _files(self, *suffixes: str) -> list[str]:
        """Paths of files that are not empty; of a node that stays down none."""
        disk = self._disk
        if self.node.retired:
            return []
        return [
            path
            for path in disk.files()
            if path.endswith(suffixes) and len(disk.volume.file(path).content)
        ]

    def _damage(self, path: str, change: Callable[[Content], None], what: str) -> None:
        """Change a file in the page cache and on the platter."""
        inode = self._disk.volume.file(path)
        change(inode.content)
        change(inode.durable)
        self._tell(path, what)

    def _tell(self, path: str, what: str) -> None:
        self._trace.add(f"node {self.node.node_id}", f"{path} {what}")

    def _flip(self, rng: random.Random, path: str, start: int, end: int) -> None:
        at, mask = rng.randrange(start, end), 1 << rng.randrange(8)

        def change(content: Content) -> None:
            content.write(at, bytes(byte ^ mask for byte in content.read(at, 1)))

        self._damage(path, change, f"rots at byte {at}")

    def _put(self, path: str, at: int, data: bytes, what: str) -> None:
        self._damage(path, lambda content: content.write(at, data), f"{what} at byte {at}")

    def _cut(self, path: str, size: int) -> None:
        self._disk.volume.file(path).cut(size)
        self._tell(path, f"is cut to {size} bytes")

    def _repeat(self, rng: random.Random, path: str) -> None:
        """A chunk of the file is found in another place of it, too."""
        content = self._disk.volume.file(path).content
        source, at = rng.randrange(len(content)), rng.randrange(len(content))
        length = min(len(content) - max(source, at), SECTOR_BYTES)
        self._put(path, at, content.read(source, length), f"repeats {length} bytes")

    def _replace(self, path: str, content: bytes, what: str) -> None:
        self._cut(path, 0)
        self._put(path, 0, content, what)

    def _overwrite(self, rng: random.Random, path: str) -> None:
        """The snapshot is another log's, or got, at its start, a sector meant for a segment."""
        snapshots = [other for other in self._files(SNAPSHOT) if other != path]
        if snapshots and rng.random() < 0.5:
            self._replace(path, self._disk.content(rng.choice(snapshots)), "is another log's")
            return
        others = self._files(*SEGMENT_FILES)
        data = self._disk.content(rng.choice(others))[:SECTOR_BYTES] if others else b""
        self._put(path, 0, data or bytes(SECTOR_BYTES), "got what was meant for elsewhere")

    def _strange(self) -> list[bytes]:
        """Checkpoints of other nodes."""
        disks = [node.disk for node in self._cluster.nodes.values() if node is not self.node]
        return [
            content
            for disk in disks
            for path in disk.files()
            if path.endswith(CHECKPOINT) and (content := disk.content(path))
        ]

    # What is struck.

    def _rot_segments(self, rng: random.Random) -> Heal | None:
        files = [path for path in self._files(*SEGMENT_FILES) if path.startswith("groups/")]
        if not files:
            return None
        path = rng.choice(files)
        size = len(self._disk.volume.file(path).content)
        style = rng.random()
        if style < 0.6:
            self._flip(rng, path, 0, size)
        elif style < 0.75:
            at = rng.randrange(size)
            chunk = bytes(min(size - at, rng.choice([SECTOR_BYTES, 8 * SECTOR_BYTES])))
            self._put(path, at, chunk, f"has {len(chunk)} zeros")
        elif style < 0.9:
            self._repeat(rng, path)
        else:
            self._cut(path, rng.randrange(size))
        if path.endswith(INDEXES):
            self._fired("index rot")
        return lambda: None

    def _rot_journal(self, rng: random.Random) -> Heal | None:
        files, flushes = journal_files(self._disk), proven_flushes(self._disk)
        if not files or self.node.retired:
            return None
        style = rng.random()
        if style < 0.1:
            path = rng.choice(files)
            self._cut(path, rng.randrange(len(self._disk.volume.file(path).content)))
        elif style < 0.2:
            self._flip(rng, rng.choice(files), 0, 48)  # the header
        elif not flushes:
            return None
        elif style < 0.7:
            place = rng.choice(flushes[-20:])
            self._flip(rng, place.path, place.start, place.end)
        else:
            place = rng.choice(flushes[-20:])
            other = rng.choice(flushes)
            stale = style < 0.85
            data = self._disk.volume.file(other.path).content.read(other.start, 1 << 20)
            length = min(place.end - place.start, other.end - other.start)
            chunk = data[:length] if stale else bytes(place.end - place.start)
            self._put(place.path, place.start, chunk, "is stale" if stale else "is zeros")
        return self._met_by_the_next_process(rng)

    def _rot_state(self, rng: random.Random) -> Heal | None:
        if rng.random() > STATE_ROT_PROBABILITY:
            return None
        return self._rot_small(rng, self._files(*STATE_FILES))

    def _rot_small(self, rng: random.Random, files: list[str]) -> Heal | None:
        """A file that is written whole."""
        if not files:
            return None
        path = rng.choice(files[-2:])
        size = len(self._disk.volume.file(path).content)
        stale = [
            version
            for other, versions in self._versions.items()
            if other == path or (path.endswith(CHECKPOINT) and other.endswith(CHECKPOINT))
            for version in versions
        ]
        style = rng.random()
        if style < 0.3 and stale:
            self._replace(path, rng.choice(stale), "is an older one")
        elif path.endswith(CHECKPOINT) and 0.3 <= style < 0.4 and (strange := self._strange()):
            self._replace(path, rng.choice(strange), "is another node's")
        elif path.endswith(SNAPSHOT) and 0.4 <= style < 0.5:
            self._repeat(rng, path)
        elif path.endswith(SNAPSHOT) and 0.5 <= style < 0.6:
            self._overwrite(rng, path)
        elif style < 0.6:
            self._cut(path, rng.randrange(size))
        else:
            self._flip(rng, path, 0, size)
        return self._met_by_the_next_process(rng)

    # Writes.

    def _witness(self, path: str, inode: Inode, offset: int, data: bytes) -> None:
        path = path.removesuffix(TEMPORARY)
        if path.endswith(WRITTEN_FILES) or (path.startswith(JOURNAL) and offset):
            before = inode.content.read(offset, len(data))
            before += bytes(len(data) - len(before))
            self._writes.append(RememberedWrite(path, inode, offset, before, data))

    def _lose_write(self, rng: random.Random, *, misdirect: bool) -> Heal | None:
        flushes = proven_flushes(self._disk)
        proven = {(place.path, place.start) for place in flushes}
        candidates = [write for write in self._writes if self._can_be_lost(write, proven)]
        if not candidates or self.node.retired:
            return None
        write = rng.choice(candidates)
        places = [
            (path, rng.randrange(len(self._disk.volume.file(path).content)))
            for path in self._files(*WRITTEN_FILES)
        ] + [(place.path, place.start) for place in flushes[-20:]]
        self._put(write.path, write.offset, write.before, f"lost {len(write.after)} bytes")
        if misdirect:
            path, at = rng.choice(places)
            at = at // SECTOR_BYTES * SECTOR_BYTES
            room = next((p.end - p.start for p in flushes if (p.path, p.start) == (path, at)), None)
            self._put(path, at, write.after[:room], "got what was meant for elsewhere")
        return self._met_by_the_next_process(rng)

    def _lose_file(self, rng: random.Random) -> Heal | None:
        """A journal file's absence shows by the next one, once its name is on the platter."""
        files = self._files(*WRITTEN_FILES, CHECKPOINT)
        journal = journal_files(self._disk)
        if journal:
            named = self._disk.volume.directory(JOURNAL).durable
            newest = max(
                (path for path in journal if path.removeprefix(JOURNAL) in named), default=""
            )
            files += [path for path in journal if path < newest]
        if rng.random() < STATE_ROT_PROBABILITY:
            files += self._files(*STATE_FILES)
        if not files or self.node.retired:
            return None
        path = rng.choice(files)
        directory, name = self._disk.volume.parent(path)
        directory.lose(name)
        self._tell(path, "is gone")
        return self._met_by_the_next_process(rng)

    def _can_be_lost(self, write: RememberedWrite, proven: set[tuple[str, int]]) -> bool:
        """It is still there, on the platter, and no promise hangs on it alone."""
        try:
            inode = self._disk.volume.file(write.path)
        except OSError:
            return False
        length = len(write.after)
        return (
            inode is write.inode
            and inode.content.read(write.offset, length) == write.after
            and inode.durable.read(write.offset, length) == write.after
            and (not write.path.startswith(JOURNAL) or (write.path, write.offset) in proven)
        )

    def _met_by_the_next_process(self, rng: random.Random) -> Heal:
        node, cluster = self.node, self._cluster
        node.rotten = True
        seen_at_once = rng.random() < SEEN_AT_ONCE_PROBABILITY
        power_cut = rng.random() < 0.5

        def heal() -> None:
            if seen_at_once and node.life is not None:
                cluster.kill(node, power_cut=power_cut)
            if node.life is None:
                cluster.start(node)

        return heal
