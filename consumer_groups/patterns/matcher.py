"""From a syntax tree to an automaton, and from a name to yes or no.

The automaton has states that consume a character and states that branch for free (Thompson's
construction). Matching follows the set of all states it may be in; each set that occurs is
remembered with its moves, so that a name mostly costs one look-up a character. At most
PATTERN_CACHE_MAX sets are remembered; then the memory is dropped and filled anew, so a hostile
pattern gains nothing.

Sources: Thompson, "Regular expression search algorithm" (1968); Cox, "Regular Expression Matching
Can Be Simple And Fast" (2007).
"""

from __future__ import annotations

from typing import assert_never

from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import PATTERN_CACHE_MAX, PATTERN_STATES_MAX
from consumer_groups.patterns.syntax import Chain, Characters, Choice, Node, Repeat, parse

_DEAD = -1


def compile_pattern(text: str) -> Pattern:
    """A matcher. Raises INVALID_PATTERN."""
    return Pattern(text, _Automaton(text).of(parse(text)))


class _Automaton:
    """Grows states. `consumes[i]` is what state i takes, None when it branches; `after[i]` is where
    it goes. State 0 is the end of the match."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.consumes: list[frozenset[str] | None] = [None]
        self.after: list[tuple[int, ...]] = [()]
        self.first = 0

    def of(self, node: Node) -> _Automaton:
        """Built backwards, from the end to the first state."""
        self.first = self._grow(node, 0)
        return self

    def _state(self, consumes: frozenset[str] | None, *after: int) -> int:
        if len(self.consumes) >= PATTERN_STATES_MAX:
            raise GroupError(
                Reason.INVALID_PATTERN,
                f"pattern {self._text!a} needs more than {PATTERN_STATES_MAX} states: fewer"
                " or smaller repetitions are allowed",
                {"pattern": ascii(self._text), "maximum": str(PATTERN_STATES_MAX)},
            )
        self.consumes.append(consumes)
        self.after.append(after)
        return len(self.consumes) - 1

    def _grow(self, node: Node, then: int) -> int:
        """The first state of a part that goes on to `then`."""
        match node:
            case Characters():
                return self._state(node.allowed, then)
            case Chain():
                for part in reversed(node.parts):
                    then = self._grow(part, then)
                return then
            case Choice():
                return self._state(None, *[self._grow(branch, then) for branch in node.branches])
            case Repeat():
                return self._repeat(node, then)
            case _:
                assert_never(node)

    def _repeat(self, node: Repeat, then: int) -> int:
        if node.most is None:
            loop = self._state(None, then)
            self.after[loop] = (self._grow(node.part, loop), then)
            first = loop
        else:
            first = then
            for _ in range(node.most - node.least):
                first = self._state(None, self._grow(node.part, first), then)
        for _ in range(node.least):
            size = len(self.consumes)
            first = self._grow(node.part, first)
            if len(self.consumes) == size:
                break  # The part is the empty text: nested repetitions of it must cost nothing.
        return first


class Pattern:
    """A compiled pattern. Its memory is a cache only: the answers do not depend on it."""

    def __init__(self, text: str, automaton: _Automaton) -> None:
        self.text = text
        self._consumes, self._after = automaton.consumes, automaton.after
        self._first = self._closure((automaton.first,))
        self._forget()

    def matches(self, name: str) -> bool:
        """Whether the whole name is matched."""
        current = 0
        for character in name:
            following = self._moves[current].get(character)
            if following is None:
                following, current = self._follow(current, character)
            if following == _DEAD:
                return False
            current = following
        return self._accepts[current]

    def _forget(self) -> None:
        self._sets: list[tuple[int, ...]] = []
        self._moves: list[dict[str, int]] = []
        self._accepts: list[bool] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._remember(self._first)

    def _remember(self, states: tuple[int, ...]) -> int:
        known = self._known.get(states)
        if known is not None:
            return known
        self._known[states] = len(self._sets)
        self._sets.append(states)
        self._moves.append({})
        self._accepts.append(states[:1] == (0,))
        return len(self._sets) - 1

    def _follow(self, current: int, character: str) -> tuple[int, int]:
        """The set after the character, and the number that `current` has afterwards."""
        states = self._sets[current]
        if len(self._sets) >= PATTERN_CACHE_MAX:
            self._forget()
            current = self._remember(states)
        onward = [
            self._after[state][0]
            for state in states
            if (allowed := self._consumes[state]) is not None and character in allowed
        ]
        following = self._remember(self._closure(onward)) if onward else _DEAD
        self._moves[current][character] = following
        return following, current

    def _closure(self, states: tuple[int, ...] | list[int]) -> tuple[int, ...]:
        """All states reached without a character: those that take one, and the end (0)."""
        found: dict[int, None] = {}
        pending = list(states)
        while pending:
            state = pending.pop()
            if state in found:
                continue
            found[state] = None
            if self._consumes[state] is None:
                pending += self._after[state]
        return tuple(sorted(s for s in found if s == 0 or self._consumes[s] is not None))
