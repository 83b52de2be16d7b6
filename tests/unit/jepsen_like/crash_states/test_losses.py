"""What rules keep of what is pending."""

from __future__ import annotations

import random

import pytest

from jepsen_like.crash_states.losses import (
    Atom,
    AtomKind,
    atoms_of_change,
    rules_at_begin,
    rules_at_end,
    survivors,
)
from jepsen_like.sim.ports.content import Content
from jepsen_like.sim.ports.volume import Inode


def atoms_of(inode: Inode) -> list[Atom]:
    """All pending changes, each an operation of its own."""
    return [
        atom
        for number, change in enumerate(inode.pending)
        for atom in atoms_of_change(number, inode, change)
    ]


def left(inode: Inode, rule: str) -> bytes:
    """The file after a crash."""
    content = inode.durable.copy()
    for atom, sectors in survivors(atoms_of(inode), rule).items():
        atom.apply(content, sectors)
    return content.read(0, len(content))


def written() -> Inode:
    """A file of `o`, over which two pages of `a`, then a short `b` were written."""
    inode = Inode(Content(b"o" * 5000), Content(b"o" * 5000))
    inode.write(0, b"a" * 8192)
    inode.write(100, b"b" * 50)
    return inode


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("none", b"o" * 5000),
        ("all", b"a" * 100 + b"b" * 50 + b"a" * 8042),
        ("through:0", b"a" * 8192),
        # The file was as long when the second write was made.
        ("drop:0", b"o" * 100 + b"b" * 50 + b"o" * 4850 + bytes(3192)),
        ("only:0.1", b"o" * 4096 + b"a" * 4096),
        ("drop:0.1", b"a" * 100 + b"b" * 50 + b"a" * 3946 + b"o" * 904 + bytes(3192)),
        ("torn:0.1.1", b"a" * 4608 + b"o" * 392 + bytes(3192)),
        ("tail:0.0.7", b"o" * 3584 + b"a" * 4608),
        ("names", b"o" * 5000 + bytes(3192)),
    ],
)
def test_a_rule_keeps_what_it_says(rule: str, expected: bytes) -> None:
    """Pages, sectors, whole writes; a file that grew without its data ends in zeros."""
    inode = written()
    if rule == "drop:0.1":
        # The growth counts as the first piece: it is kept.
        assert {a.kind for a in atoms_of(inode) if a.piece == 0} >= {AtomKind.GROWTH}
    assert left(inode, rule) == expected


def test_a_cut_may_be_lost_or_kept() -> None:
    """A truncation is an atom; what was written after it stays in its place."""
    inode = Inode(Content(b"o" * 1000), Content(b"o" * 1000))
    inode.truncate(200)
    inode.write(200, b"n" * 100)
    assert left(inode, "drop:0") == b"o" * 200 + b"n" * 100 + b"o" * 700
    assert left(inode, "only:0") == b"o" * 200


def test_random_losses_are_decided_by_their_seed() -> None:
    """The same seed keeps the same; some seeds differ."""
    inode = written()
    assert left(inode, "random:5") == left(inode, "random:5")
    assert len({left(inode, f"random:{seed}") for seed in range(30)}) > 5


def test_no_rule_is_made_up() -> None:
    """A name that is mistyped is told, not guessed."""
    with pytest.raises(ValueError, match="is no rule"):
        survivors([], "most:3")


def test_the_newest_operation_is_tried_whole_torn_and_alone() -> None:
    """Each page on its own, each tear; with every other write dropped."""
    inode = written()
    inode.write(5000, b"c" * 6000)
    rules = rules_at_begin(atoms_of(inode), 2, random.Random(1), 6)
    assert {"all", "only:2", "only:2.0", "only:2.1", "drop:2.1", "drop:0", "drop:1"} <= {*rules}
    assert any(rule.startswith("torn:2.1.") for rule in rules)
    assert any(rule.startswith("tail:2.0.") for rule in rules)


def test_when_something_became_durable_everything_else_may_be_lost() -> None:
    """Nothing pending, everything, each alone, each missing, each prefix."""
    rules = rules_at_end(atoms_of(written()), random.Random(1), 6)
    assert {"none", "all", "drop:0", "only:0", "through:0", "drop:1", "only:1"} <= {*rules}
    assert rules_at_end([], random.Random(1), 6) == ["none"]
