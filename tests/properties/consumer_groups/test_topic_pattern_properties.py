"""Patterns against Python's `re`, which means the same where it knows the form."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from consumer_groups.errors import GroupError
from consumer_groups.patterns import compile_pattern

LETTERS = "ab1_"
atoms = st.sampled_from(["a", "b", "1", "_", ".", r"\d", r"\w", r"\.", "[ab]", "[^a]", "[a-b1]"])
repetitions = st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,2}", "{1,}"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    grouped = st.builds("({}){}".format, inner, repetitions)
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{}|{}".format, inner, inner),
        grouped,
    )


patterns = st.recursive(st.builds("{}{}".format, atoms, repetitions), _larger, max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(pattern=patterns, names=st.lists(st.text(LETTERS + ".", max_size=8), max_size=6))
def test_a_pattern_matches_what_re_matches(pattern: str, names: list[str]) -> None:
    """Same answers on small names, where backtracking ends."""
    compiled = compile_pattern(pattern)
    twin = re.compile(pattern)
    for name in names:
        assert compiled.matches(name) == bool(twin.fullmatch(name)), name


@settings(max_examples=300, deadline=None)
@given(text=st.text("ab(|)[]{}*+?.\\^$-,0129é", max_size=14))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    """Nothing but a refusal comes out of a bad pattern; what is compiled can be asked."""
    try:
        compiled = compile_pattern(text)
    except GroupError:
        return
    assert compiled.matches("a" * 40) in {True, False}
