"""A record played back: what is durable and what is pending after each event.

Invariant: after event n the volume is as the recorded one was, except that a sync counts from the
moment at which its caller knew of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from jepsen_like.crash_states.losses import Atom, AtomKind, Kept, atoms_of_change
from jepsen_like.crash_states.record import Event, Operation
from jepsen_like.sim.ports.content import Content
from jepsen_like.sim.ports.volume import Directory, DirectoryChange, Inode, Volume, split_path

_DIGEST_BYTES: Final = 8

Names = dict[str, "Inode | Directory"]


class Playback:
    """The disk of a record, event by event."""

    def __init__(self, base: Volume) -> None:
        """`base` is what the disk held before the first event, all of it durable."""
        self._volume = base
        self._handles: dict[int, Inode] = {}
        self._at_end: dict[int, Callable[[], None]] = {}
        self._inodes: dict[int, Inode] = {}
        """Those with pending changes, by identity."""
        self._directories: dict[int, Directory] = {}
        self._operation_of: dict[tuple[int, int], int] = {}
        """By inode and index of the change."""
        self._operation_of_name: dict[int, int] = {}
        self._digests: dict[int, tuple[Inode, bytes]] = {}
        """Of durable contents, by identity (which the inode in the value keeps)."""
        self._kept_alive: list[object] = []

    def play(self, event: Event) -> bool:
        """Take the next event; True when something became durable."""
        operation = event.operation
        if not event.ended:
            self._begin(operation)
            return False
        finish = self._at_end.pop(operation.number, None)
        if finish is None:
            return False
        finish()
        return True

    @property
    def live(self) -> Volume:
        """As processes see it: what is pending included."""
        return self._volume

    def atoms(self) -> list[Atom]:
        """All that is pending, in the order of the operations."""
        atoms: list[Atom] = []
        for key, inode in list(self._inodes.items()):
            if not inode.pending:
                del self._inodes[key]
            for change in inode.pending:
                operation = self._operation_of[key, change.index]
                atoms.extend(atoms_of_change(operation, inode, change))
        seen: dict[int, None] = {}
        for directory in list(self._directories.values()):
            directory.pending = [change for change in directory.pending if not change.durable]
            for name in directory.pending:
                if id(name) not in seen:
                    seen[id(name)] = None
                    number = self._operation_of_name[id(name)]
                    atoms.append(Atom(number, 0, AtomKind.NAME, name=name))
        atoms.sort(key=lambda atom: (atom.operation, atom.piece))
        return atoms

    def digest(self, kept: Kept) -> str:
        """Names the disk that is left: equal for equal contents under equal names."""
        names, contents = self._left(kept)
        whole = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._digest(self._volume.root, names, contents, whole.update)
        return whole.hexdigest()

    def volume(self, kept: Kept) -> Volume:
        """The disk that is left, all of it durable."""
        names, contents = self._left(kept)
        left = Volume()
        left.root = _copy(self._volume.root, names, contents)
        return left

    def _left(self, kept: Kept) -> tuple[dict[int, Names], dict[int, Content]]:
        names: dict[int, Names] = {}
        contents: dict[int, Content] = {}
        for atom, sectors in kept.items():
            if atom.name is not None:
                for directory, name in atom.name.unlinks:
                    _names_of(names, directory).pop(name, None)
                for directory, name, node in atom.name.links:
                    _names_of(names, directory)[name] = node
            elif atom.inode is not None:
                content = contents.get(id(atom.inode))
                if content is None:
                    content = contents[id(atom.inode)] = atom.inode.durable.copy()
                atom.apply(content, sectors)
        return names, contents

    def _digest(
        self,
        directory: Directory,
        names: dict[int, Names],
        contents: dict[int, Content],
        update: Callable[[bytes], object],
    ) -> None:
        entries = names.get(id(directory), directory.durable)
        for name in sorted(entries):
            node = entries[name]
            update(name.encode())
            if isinstance(node, Directory):
                update(b"/")
                self._digest(node, names, contents, update)
                update(b"..")
            elif id(node) in contents:
                update(_digest_of(contents[id(node)]))
            else:
                known = self._digests.get(id(node))
                if known is None:
                    known = self._digests[id(node)] = (node, _digest_of(node.durable))
                update(known[1])

    # What an operation does when it begins, and when it ends.

    def _begin(self, operation: Operation) -> None:
        volume, number = self._volume, operation.number
        match operation.kind:
            case "create":
                directory, name = volume.parent(operation.path)
                inode = self._handles[operation.handle] = Inode()
                self._kept_alive.append(inode)
                directory.link(name, inode)
                self._named(directory, number)
            case "open":
                self._handles[operation.handle] = volume.file(operation.path)
            case "mkdir":
                directory = volume.root
                for name in split_path(operation.path):
                    node = directory.entries.get(name)
                    if node is None:
                        node = Directory()
                        self._kept_alive.append(node)
                        directory.link(name, node)
                        self._named(directory, number)
                    assert isinstance(node, Directory)
                    directory = node
            case "rename":
                source, source_name = volume.parent(operation.path)
                target, target_name = volume.parent(operation.target)
                source.rename(source_name, target, target_name)
                self._named(source, number)
                self._named(target, number)
            case "remove":
                directory, name = volume.parent(operation.path)
                directory.unlink(name)
                self._named(directory, number)
            case "remove_tree":
                self._remove_tree(operation)
            case "sync_directory":
                directory = volume.directory(operation.path)
                covered = list(directory.pending)
                self._at_end[number] = lambda: _carry_out(covered)
            case _:
                self._begin_in_file(operation, self._handles[operation.handle])

    def _begin_in_file(self, operation: Operation, inode: Inode) -> None:
        number = operation.number
        match operation.kind:
            case "write":
                self._changed(inode, inode.write(operation.offset, operation.data), number)
            case "write_durable":
                index = inode.write(operation.offset, operation.data)
                self._changed(inode, index, number)
                self._at_end[number] = lambda: self._durable(
                    inode, lambda: inode.make_write_durable(index)
                )
            case "truncate":
                self._changed(inode, inode.truncate(operation.offset), number)
            case "sync":
                below = inode.changes
                self._at_end[number] = lambda: self._durable(
                    inode, lambda: inode.make_durable(below)
                )
            case kind:
                raise AssertionError(f"{kind} is no operation")

    def _remove_tree(self, operation: Operation) -> None:
        try:
            node = self._volume.directory(operation.path)
        except FileNotFoundError:
            return
        self._empty(node, operation.number)
        directory, name = self._volume.parent(operation.path)
        directory.unlink(name)
        self._named(directory, operation.number)

    def _empty(self, directory: Directory, number: int) -> None:
        for name, node in list(directory.entries.items()):
            if isinstance(node, Directory):
                self._empty(node, number)
            directory.unlink(name)
            self._named(directory, number)

    def _changed(self, inode: Inode, index: int, number: int) -> None:
        self._inodes[id(inode)] = inode
        self._operation_of[id(inode), index] = number

    def _named(self, directory: Directory, number: int) -> None:
        self._directories[id(directory)] = directory
        if directory.pending:
            change = directory.pending[-1]
            self._kept_alive.append(change)
            self._operation_of_name.setdefault(id(change), number)

    def _durable(self, inode: Inode, make: Callable[[], None]) -> None:
        make()
        self._digests.pop(id(inode), None)


def copied(volume: Volume) -> Volume:
    """The same disk once more; only what is durable counts."""
    copy = Volume()
    copy.root = _copy(volume.root, {}, {})
    return copy


def _carry_out(changes: list[DirectoryChange]) -> None:
    for change in changes:
        change.carry_out()


def _names_of(names: dict[int, Names], directory: Directory) -> Names:
    found = names.get(id(directory))
    if found is None:
        found = names[id(directory)] = dict(directory.durable)
    return found


def _digest_of(content: Content) -> bytes:
    data = content.read(0, len(content))
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _copy(directory: Directory, names: dict[int, Names], contents: dict[int, Content]) -> Directory:
    copy = Directory()
    for name, node in names.get(id(directory), directory.durable).items():
        left: Inode | Directory
        if isinstance(node, Directory):
            left = _copy(node, names, contents)
        else:
            content = contents.get(id(node), node.durable)
            left = Inode(content.copy(), content.copy())
        copy.entries[name] = copy.durable[name] = left
    return copy
