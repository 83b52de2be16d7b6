"""What a simulated disk holds, and what of it a power cut leaves.

Every file has two contents: the one that processes see (page cache) and the one on the platter.
Between them lies an ordered list of pending changes. A directory likewise has two sets of
entries and a list of pending operations.

What a power cut leaves of a file:

1. Everything that a completed sync or durable write covered.
2. Of the pending writes any version of each 512-byte sector: the old one, or the one after any of
   the writes that touched it, chosen sector by sector (torn and reordered writes).
3. The size after any one of the pending changes; bytes below it that never arrived are zeros.

What it leaves of a directory: each pending create, rename or removal is kept or lost on its own;
a rename is never half. A kept file is found with the content that rules 1 to 3 give it.

Source of the model: Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from jepsen_like.sim.ports.content import Content

SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all."""


def os_error(code: int, path: str) -> OSError:
    """An OSError (of the fitting subclass) as the kernel would raise it."""
    return OSError(code, os.strerror(code), path)


@dataclass(slots=True)
class PendingChange:
    """A write (`data` set) or a truncation that may not be on the platter yet."""

    index: int
    offset: int
    data: bytes | None
    size_after: int
    """Size of the file once this change was made."""


@dataclass(slots=True, eq=False)
class Inode:
    """A file.

    Invariant: applying all of `pending` in order to `durable` gives `content`, until an fsync
    fails.
    """

    content: Content = field(default_factory=Content)
    durable: Content = field(default_factory=Content)
    pending: list[PendingChange] = field(default_factory=list)
    changes: int = 0
    """Changes ever made; the next one's index."""

    def write(self, offset: int, data: bytes) -> int:
        """Change what processes see; returns the index of the change."""
        self.content.write(offset, data)
        return self._record(offset, data)

    def truncate(self, size: int) -> int:
        """Cut or extend with zeros; returns the index of the change."""
        self.content.resize(size)
        return self._record(size, None)

    def _record(self, offset: int, data: bytes | None) -> int:
        index = self.changes
        self.changes += 1
        self.pending.append(PendingChange(index, offset, data, len(self.content)))
        return index

    def make_durable(self, below: int) -> None:
        """An fsync completed that began when `changes` was `below`."""
        kept = 0
        for change in self.pending:
            if change.index >= below:
                break
            _apply(self.durable, change)
            kept += 1
        del self.pending[:kept]

    def make_write_durable(self, index: int) -> None:
        """A durable write completed: its sectors, and the size it needs, are on the platter.

        Earlier writes into the same sectors went with it: a sector is written whole.
        """
        position = next((i for i, c in enumerate(self.pending) if c.index == index), None)
        if position is None:
            return  # an fsync in between already covered it
        change = self.pending[position]
        if change.data is None or any(c.data is None for c in self.pending[: position + 1]):
            self.make_durable(index + 1)
            return
        if position == 0:
            _apply(self.durable, change)
            del self.pending[0]
            return
        first = change.offset // SECTOR_BYTES * SECTOR_BYTES
        last = -(-(change.offset + len(change.data)) // SECTOR_BYTES) * SECTOR_BYTES
        remaining: list[PendingChange] = []
        for earlier in self.pending[: position + 1]:
            remaining.extend(_carry_out_within(self.durable, earlier, first, last))
        self.pending[: position + 1] = remaining

    def lose_pending(self) -> None:
        """An fsync failed: the kernel marks the pages clean, so that processes still see them and
        no later fsync writes them (Rebello et al., "Can Applications Recover from fsync
        Failures?", ATC 2020)."""
        self.pending.clear()

    def cut(self, size: int) -> None:
        """Damage: what lies from `size` on is gone, also of what was on its way to the platter; no
        pending change makes the file longer again."""
        self.content.resize(min(size, len(self.content)))
        self.durable.resize(min(size, len(self.durable)))
        self.pending = [change for change in self.pending if change.offset < size]
        for change in self.pending:
            change.size_after = min(change.size_after, size)
            if change.data is not None:
                change.data = change.data[: size - change.offset]

    def after_power_cut(self, rng: random.Random) -> Inode:
        """What is found after a power cut now."""
        survivor = self.durable.copy()
        if self.pending:
            style = rng.random()
            keep = 0.0 if style < 0.2 else 1.0 if style < 0.4 else rng.random()
            self._apply_some(survivor, keep, rng)
        return Inode(content=survivor, durable=survivor.copy())

    def _apply_some(self, target: Content, keep: float, rng: random.Random) -> None:
        versions: dict[int, list[int]] = {}
        for change in self.pending:
            if change.data:
                for sector in _sectors(change):
                    versions.setdefault(sector, []).append(change.index)
        newest: dict[int, int] = {}
        for sector, indexes in versions.items():
            if rng.random() < keep:
                newest[sector] = indexes[-1]
            else:
                newest[sector] = rng.choice([-1, *indexes[:-1]])
        if keep in {0.0, 1.0}:
            size_change = -1 if keep == 0.0 else len(self.pending) - 1
        else:
            size_change = rng.randrange(-1, len(self.pending))
        size = len(self.durable) if size_change < 0 else self.pending[size_change].size_after
        for position, change in enumerate(self.pending):
            if change.data is None:
                if position <= size_change:
                    target.resize(change.offset)
                continue
            for sector in _sectors(change):
                if change.index <= newest[sector]:
                    start = max(change.offset, sector * SECTOR_BYTES)
                    end = min(change.offset + len(change.data), (sector + 1) * SECTOR_BYTES)
                    part = change.data[start - change.offset : end - change.offset]
                    target.write(start, part)
        target.resize(size)


def _sectors(change: PendingChange) -> range:
    assert change.data is not None
    end = change.offset + len(change.data)
    return range(change.offset // SECTOR_BYTES, -(-end // SECTOR_BYTES))


def _apply(target: Content, change: PendingChange) -> None:
    if change.data is None:
        target.resize(change.offset)
    else:
        target.write(change.offset, change.data)


def _carry_out_within(
    target: Content, change: PendingChange, first: int, last: int
) -> list[PendingChange]:
    """Apply the part of a write inside [first, last); return what stays pending of it."""
    assert change.data is not None
    end = change.offset + len(change.data)
    low, high = max(change.offset, first), min(end, last)
    if low >= high:
        return [change]
    target.write(low, change.data[low - change.offset : high - change.offset])
    rest: list[PendingChange] = []
    if change.offset < low:
        head = change.data[: low - change.offset]
        rest.append(PendingChange(change.index, change.offset, head, change.size_after))
    if high < end:
        tail = change.data[high - change.offset :]
        rest.append(PendingChange(change.index, high, tail, change.size_after))
    return rest


@dataclass(slots=True, eq=False)
class DirectoryChange:
    """One pending create, rename or removal; a rename across directories is one change in two
    directories' lists, and is durable when either is synced."""

    links: list[tuple[Directory, str, Inode | Directory]] = field(default_factory=list)
    unlinks: list[tuple[Directory, str]] = field(default_factory=list)
    durable: bool = False

    def carry_out(self) -> None:
        """On the platter; of another directory that it touches, all that came before it too."""
        if self.durable:
            return
        self.durable = True
        directories = [d for d, _ in self.unlinks] + [d for d, _, _ in self.links]
        if any(directory is not directories[0] for directory in directories):
            for directory in directories:
                for earlier in directory.pending:
                    if earlier is self:
                        break
                    earlier.carry_out()
        for directory, name in self.unlinks:
            directory.durable.pop(name, None)
        for directory, name, node in self.links:
            directory.durable[name] = node


@dataclass(slots=True, eq=False)
class Directory:
    """A directory: names as processes see them and as they are on the platter."""

    entries: dict[str, Inode | Directory] = field(default_factory=dict)
    durable: dict[str, Inode | Directory] = field(default_factory=dict)
    pending: list[DirectoryChange] = field(default_factory=list)

    def link(self, name: str, node: Inode | Directory) -> None:
        """Make a name."""
        self.entries[name] = node
        self.pending.append(DirectoryChange(links=[(self, name, node)]))

    def unlink(self, name: str) -> None:
        """Remove a name."""
        del self.entries[name]
        self.pending.append(DirectoryChange(unlinks=[(self, name)]))

    def lose(self, name: str) -> None:
        """Damage: the name is gone, and no pending change brings it back."""
        del self.entries[name]
        self.durable.pop(name, None)
        for change in self.pending:
            change.links = [link for link in change.links if link[:2] != (self, name)]

    def rename(self, name: str, target: Directory, target_name: str) -> None:
        """Move a name, over a file that is there."""
        if self is target and name == target_name:
            return
        node = self.entries.pop(name)
        target.entries[target_name] = node
        change = DirectoryChange(links=[(target, target_name, node)], unlinks=[(self, name)])
        self.pending.append(change)
        if target is not self:
            target.pending.append(change)

    def make_durable(self, changes: Iterable[DirectoryChange]) -> None:
        """A sync completed that began when these were pending.

        Not so many of them: another sync may have taken some meanwhile, and what was issued later
        is not this one's.
        """
        for change in changes:
            change.carry_out()
        self.pending = [change for change in self.pending if not change.durable]


class Volume:
    """A tree of directories and files; outlives the processes that use it."""

    def __init__(self) -> None:
        self.root = Directory()

    def find(self, path: str) -> Inode | Directory:
        """The node at a path. OSError(ENOENT), OSError(ENOTDIR)."""
        node: Inode | Directory = self.root
        for name in split_path(path):
            if not isinstance(node, Directory):
                raise os_error(errno.ENOTDIR, path)
            found = node.entries.get(name)
            if found is None:
                raise os_error(errno.ENOENT, path)
            node = found
        return node

    def directory(self, path: str) -> Directory:
        """The directory at a path."""
        node = self.find(path)
        if not isinstance(node, Directory):
            raise os_error(errno.ENOTDIR, path)
        return node

    def file(self, path: str) -> Inode:
        """The file at a path."""
        node = self.find(path)
        if isinstance(node, Directory):
            raise os_error(errno.EISDIR, path)
        return node

    def parent(self, path: str) -> tuple[Directory, str]:
        """The directory that holds (or would hold) the path's last name, and that name."""
        names = split_path(path)
        if not names:
            raise os_error(errno.EINVAL, path)
        return self.directory("/".join(names[:-1])), names[-1]

    def used_bytes(self) -> int:
        """Sum of the sizes of all files."""
        return _used(self.root)

    def after_power_cut(self, rng: random.Random) -> Volume:
        """What is found after a power cut now; this volume stays as it is."""
        entries: dict[int, dict[str, Inode | Directory]] = {}
        _collect(self.root, entries, rng)
        survivor = Volume()
        survivor.root = _survive(self.root, entries, {}, rng)
        return survivor


def split_path(path: str) -> list[str]:
    """Names of a relative path; "" and "." are the root. ".." is refused."""
    names = [name for name in path.split("/") if name not in {"", "."}]
    if ".." in names or path.startswith("/"):
        raise os_error(errno.EINVAL, path)
    return names


def _used(directory: Directory) -> int:
    return sum(
        _used(node) if isinstance(node, Directory) else len(node.content)
        for node in directory.entries.values()
    )


def _collect(
    root: Directory, entries: dict[int, dict[str, Inode | Directory]], rng: random.Random
) -> None:
    """Decide every pending directory change once, and gather each directory's entries."""
    todo = [root]
    changes: list[DirectoryChange] = []
    while todo:
        directory = todo.pop()
        if id(directory) in entries:
            continue
        entries[id(directory)] = dict(directory.durable)
        changes.extend(directory.pending)
        for children in (directory.durable, directory.entries):
            todo.extend(node for node in children.values() if isinstance(node, Directory))
        for change in directory.pending:
            todo.extend(node for _, _, node in change.links if isinstance(node, Directory))
            todo.extend(other for other, _, _ in change.links)
            todo.extend(other for other, _ in change.unlinks)
    style = rng.random()
    keep = 0.0 if style < 0.2 else 1.0 if style < 0.4 else 0.5
    decided: dict[int, bool] = {}
    for change in changes:
        if id(change) in decided or change.durable:
            continue
        decided[id(change)] = rng.random() < keep
        if decided[id(change)]:
            for directory, name in change.unlinks:
                entries[id(directory)].pop(name, None)
            for directory, name, node in change.links:
                entries[id(directory)][name] = node


def _survive(
    directory: Directory,
    entries: dict[int, dict[str, Inode | Directory]],
    inodes: dict[int, Inode],
    rng: random.Random,
) -> Directory:
    survivor = Directory()
    for name, node in entries[id(directory)].items():
        copied: Inode | Directory
        if isinstance(node, Directory):
            copied = _survive(node, entries, inodes, rng)
        elif id(node) in inodes:
            copied = inodes[id(node)]
        else:
            copied = inodes[id(node)] = node.after_power_cut(rng)
        survivor.entries[name] = survivor.durable[name] = copied
    return survivor
