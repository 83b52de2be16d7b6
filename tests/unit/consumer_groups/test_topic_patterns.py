"""The pattern language, its refusals, and that no pattern can stall the coordinator."""

from __future__ import annotations

import pytest

from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import PATTERN_CACHE_MAX, PATTERN_STATES_MAX
from consumer_groups.patterns import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [
        ("orders", ["orders"], ["order", "orders2", ""]),
        ("orders-.*", ["orders-", "orders-eu"], ["orders", "xorders-eu"]),
        (r"a\.b", ["a.b"], ["axb"]),
        (r"t\d+", ["t0", "t12"], ["t", "tx"]),
        (r"\w+", ["a_1"], ["a-b", "a.b"]),
        ("[a-c_]x", ["ax", "_x"], ["dx", "-x"]),
        ("[^a-c]", ["d", ".", "-"], ["a", "b"]),
        ("[a-]", ["a", "-"], ["b"]),
        (r"[\d.]+", ["1.0"], ["x"]),
        ("(eu|us)-(a|b)?", ["eu-", "us-b"], ["eu", "as-a"]),
        ("(?:ab)+c", ["abc", "ababc"], ["c", "abab"]),
        ("a{3}", ["aaa"], ["aa", "aaaa"]),
        ("a{2,}", ["aa", "aaaaa"], ["a"]),
        ("a{1,2}b", ["ab", "aab"], ["b", "aaab"]),
        ("^orders$", ["orders"], ["orders2"]),
        ("(a*)*", ["", "aaaa"], ["b"]),
        ("|a", ["", "a"], ["aa"]),
        ("a{0}b", ["b"], ["ab"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, matched: list[str], unmatched: list[str]) -> None:
    """Whole names only."""
    compiled = compile_pattern(pattern)
    assert [name for name in matched if not compiled.matches(name)] == []
    assert [name for name in unmatched if compiled.matches(name)] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "1 to 256"),
        ("a" * 257, "1 to 256"),
        ("a(b", "missing"),
        ("a)", "closes nothing"),
        ("[ab", "missing"),
        ("[]", "empty set"),
        ("[b-a]", "range b-a is empty"),
        ("*a", "nothing to repeat"),
        ("a**", "follows a repetition"),
        ("a+?", "follows a repetition"),
        ("a{2,1}", "smaller one first"),
        ("a{250}", "0 to 249"),
        ("a{x}", "is {m}"),
        ("(?=a)", "only"),
        (r"(a)\1", "comes d, w or a sign"),
        ("a b", "in no topic name"),
        ("ü", "in no topic name"),
        (r"\$", "in no topic name"),
        ("a\\", "comes d, w or a sign"),
        ("(" * 33 + "a" + ")" * 33, "deeper than 32"),
        ("(a{100}){100}", f"more than {PATTERN_STATES_MAX} states"),
    ],
)
def test_what_is_no_pattern(pattern: str, why: str) -> None:
    """Refused, with the place or the bound."""
    with pytest.raises(GroupError) as refusal:
        compile_pattern(pattern)
    assert refusal.value.reason is Reason.INVALID_PATTERN
    assert why in str(refusal.value)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a?){100}a{100}b", "(.*){10}b"])
def test_patterns_that_stall_backtracking_are_answered(pattern: str) -> None:
    """2^248 ways for one that backtracks; here at most a step a character."""
    compiled = compile_pattern(pattern)
    assert not compiled.matches("a" * 248)
    assert compiled.matches("a" * 248 + "b") is (pattern != "(a?){100}a{100}b")


def test_repetitions_of_nothing_cost_nothing() -> None:
    """Nested repetitions of the empty text would be 249^8 steps if each were written out."""
    pattern = "(" * 8 + ")" + "{249})" * 7 + "{249}"
    assert compile_pattern(pattern).matches("")


def test_the_memory_of_a_matcher_is_bounded() -> None:
    """A pattern with 2^12 sets of states: more than are remembered, and still right."""
    compiled = compile_pattern(".*a.{11}")
    for number in range(2**12):
        name = format(number, "012b").replace("1", "a")
        assert compiled.matches(name) == (name[0] == "a")
        assert len(compiled._sets) <= PATTERN_CACHE_MAX
