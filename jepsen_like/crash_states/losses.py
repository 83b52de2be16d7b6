"""What a power cut may lose: the atoms that are pending, and rules that say which ones survive.

An atom is what a disk does or does not: one 4 KiB page's part of a write, the growth of a file
without the data (its new bytes are zeros then), a truncation, one operation of a directory. A
rule keeps some atoms of those pending and loses the others; of the page that a write was torn in,
some of the 512-byte sectors.

Rules, as they are written in the name of a state (OP is an operation's number in the record, PIECE
a page of it from 0 on, SECTOR a sector of that page):

| rule | what survives |
|---|---|
| `all`, `none` | everything, nothing |
| `names`, `data` | operations of directories and growths only, or everything else only |
| `through:OP` | what began no later than OP |
| `drop:OP`, `drop:OP.PIECE` | all but that |
| `only:OP`, `only:OP.PIECE` | that alone |
| `torn:OP.PIECE.SECTOR` | what began before OP, and of OP what lies before that sector |
| `tail:OP.PIECE.SECTOR` | what began before OP, and of OP what lies from that sector on |
| `random:SEED` | each atom, and each sector, as a coin falls |
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from jepsen_like.sim.ports.content import Content
from jepsen_like.sim.ports.volume import SECTOR_BYTES, DirectoryChange, Inode, PendingChange

PIECE_BYTES: Final = 4096
"""What the page cache writes back at a time."""
SECTORS_PER_PIECE: Final = PIECE_BYTES // SECTOR_BYTES
RANDOM_RULES: Final = 2
"""Random losses that are tried at one point."""
_ALL_SECTORS: Final = (1 << SECTORS_PER_PIECE) - 1


class AtomKind(Enum):
    """What may happen or not."""

    GROWTH = "growth"
    PIECE = "piece"
    CUT = "cut"
    NAME = "name"


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """The smallest thing that a crash keeps or loses."""

    operation: int
    piece: int
    """Which page of the operation, from 0; growths, cuts and names count as the first."""
    kind: AtomKind
    inode: Inode | None = None
    change: PendingChange | None = None
    name: DirectoryChange | None = None
    start: int = 0
    end: int = 0
    """Range of a piece in the file."""

    def apply(self, content: Content, sectors: int) -> None:
        """Carry it out on a file's content; `sectors` is a mask of a piece's sectors."""
        change = self.change
        assert change is not None
        match self.kind:
            case AtomKind.GROWTH:
                if change.size_after > len(content):
                    content.resize(change.size_after)
            case AtomKind.CUT:
                content.resize(change.offset)
            case AtomKind.PIECE:
                assert change.data is not None
                for low, high in self._runs(sectors):
                    content.write(low, change.data[low - change.offset : high - change.offset])
            case AtomKind.NAME:
                raise AssertionError("an operation of a directory has no content")

    def _runs(self, sectors: int) -> list[tuple[int, int]]:
        if sectors == _ALL_SECTORS:
            return [(self.start, self.end)]
        page = self.start // PIECE_BYTES * PIECE_BYTES
        runs: list[tuple[int, int]] = []
        for number in range(SECTORS_PER_PIECE):
            low = max(self.start, page + number * SECTOR_BYTES)
            high = min(self.end, page + (number + 1) * SECTOR_BYTES)
            if sectors >> number & 1 and low < high:
                runs.append((low, high))
        return runs


Kept = Mapping[Atom, int]
"""The atoms that survive, with the mask of a piece's sectors."""


def atoms_of_change(operation: int, inode: Inode, change: PendingChange) -> list[Atom]:
    """What a pending change of a file consists of."""
    if change.data is None:
        return [Atom(operation, 0, AtomKind.CUT, inode, change)]
    atoms: list[Atom] = []
    if change.size_after > len(inode.durable):
        atoms.append(Atom(operation, 0, AtomKind.GROWTH, inode, change))
    end = change.offset + len(change.data)
    first = change.offset // PIECE_BYTES
    # Zeros over zeros change nothing but the size: files are filled so before their first use.
    alone = change is inode.pending[0]
    for number in range(first, -(-end // PIECE_BYTES)):
        low = max(change.offset, number * PIECE_BYTES)
        high = min(end, (number + 1) * PIECE_BYTES)
        if (
            alone
            and not any(change.data[low - change.offset : high - change.offset])
            and not any(inode.durable.read(low, high - low))
        ):
            continue
        atoms.append(
            Atom(operation, number - first, AtomKind.PIECE, inode, change, start=low, end=high)
        )
    return atoms


def survivors(atoms: Sequence[Atom], rule: str) -> Kept:
    """What a rule keeps. ValueError when there is no such rule."""
    name, _, argument = rule.partition(":")
    numbers = tuple(int(part) for part in argument.split(".")) if argument else ()
    match name, numbers:
        case "all", ():
            return dict.fromkeys(atoms, _ALL_SECTORS)
        case "none", ():
            return {}
        case "names", ():
            names = {AtomKind.NAME, AtomKind.GROWTH}
            return {atom: _ALL_SECTORS for atom in atoms if atom.kind in names}
        case "data", ():
            return {atom: _ALL_SECTORS for atom in atoms if atom.kind is not AtomKind.NAME}
        case "through", (last,):
            return {atom: _ALL_SECTORS for atom in atoms if atom.operation <= last}
        case "drop", chosen:
            return {atom: _ALL_SECTORS for atom in atoms if not _is(atom, chosen)}
        case "only", chosen:
            return {atom: _ALL_SECTORS for atom in atoms if _is(atom, chosen)}
        case (("torn" | "tail"), (operation, piece, sector)):
            return _torn(atoms, operation, piece, sector, head=name == "torn")
        case "random", (seed,):
            return _random(atoms, random.Random(seed))
    raise ValueError(f"{rule!r} is no rule")


def _is(atom: Atom, chosen: tuple[int, ...]) -> bool:
    return (atom.operation, atom.piece)[: len(chosen)] == chosen


def _torn(
    atoms: Sequence[Atom], operation: int, piece: int, sector: int, *, head: bool
) -> dict[Atom, int]:
    below = (1 << sector) - 1
    kept: dict[Atom, int] = {}
    for atom in atoms:
        if atom.operation < operation or (
            atom.operation == operation and atom.kind is not AtomKind.PIECE
        ):
            kept[atom] = _ALL_SECTORS
        elif atom.operation == operation:
            if atom.piece == piece:
                kept[atom] = below if head else _ALL_SECTORS & ~below
            elif (atom.piece < piece) is head:
                kept[atom] = _ALL_SECTORS
    return kept


def _random(atoms: Sequence[Atom], rng: random.Random) -> dict[Atom, int]:
    likely, torn = rng.random(), rng.random() * 0.5
    kept: dict[Atom, int] = {}
    for atom in atoms:
        if atom.kind is AtomKind.PIECE and rng.random() < torn:
            kept[atom] = rng.getrandbits(SECTORS_PER_PIECE)
        elif rng.random() < likely:
            kept[atom] = _ALL_SECTORS
    return kept


def rules_at_begin(
    atoms: Sequence[Atom], newest: int, rng: random.Random, others_max: int
) -> list[str]:
    """Rules to try when operation `newest` has just begun: with it whole, torn and alone; what
    is found without it was found before."""
    of_newest = [atom for atom in atoms if atom.operation == newest]
    if not of_newest:
        return []
    rules = ["all", f"only:{newest}"]
    pieces = [atom for atom in of_newest if atom.kind is AtomKind.PIECE]
    for atom in pieces:
        first = atom.start % PIECE_BYTES // SECTOR_BYTES
        last = (atom.end - 1) % PIECE_BYTES // SECTOR_BYTES
        places = {first, last} if last > first else {first}
        if last - first > 1:
            places.add(rng.randint(first + 1, last))
        for sector in sorted(places):
            if atom.piece or sector > first:
                rules.append(f"torn:{newest}.{atom.piece}.{sector}")
            rules.append(f"tail:{newest}.{atom.piece}.{sector}")
    if len(of_newest) > 1:
        for piece in sorted({atom.piece for atom in of_newest}):
            rules.extend((f"drop:{newest}.{piece}", f"only:{newest}.{piece}"))
        rules.append("names")
    others = _sample(sorted({a.operation for a in atoms if a.operation < newest}), rng, others_max)
    rules.extend(f"drop:{operation}" for operation in others)
    if len(atoms) > 2:
        rules.extend(_random_rules(rng))
    return rules


def rules_at_end(atoms: Sequence[Atom], rng: random.Random, others_max: int) -> list[str]:
    """Rules to try when something has just become durable: more must be kept from now on."""
    rules = ["none"]
    if not atoms:
        return rules
    rules.append("all")
    kinds = {atom.kind for atom in atoms}
    if AtomKind.NAME in kinds and len(kinds) > 1:
        rules.extend(("names", "data"))
    pending = sorted({atom.operation for atom in atoms})
    if len(pending) > 1:
        for operation in _sample(pending, rng, others_max):
            rules.extend((f"drop:{operation}", f"only:{operation}", f"through:{operation}"))
        rules.extend(_random_rules(rng))
    return rules


def _random_rules(rng: random.Random) -> list[str]:
    return [f"random:{rng.getrandbits(32)}" for _ in range(RANDOM_RULES)]


def _sample(numbers: Sequence[int], rng: random.Random, count: int) -> list[int]:
    if len(numbers) <= count:
        return list(numbers)
    # The newest are the most telling: they are what the store did last.
    newest = list(numbers[-(count // 2) :])
    return sorted([*rng.sample(numbers[: -(count // 2)], count - len(newest)), *newest])
