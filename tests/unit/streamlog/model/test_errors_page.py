"""The page of errors is the table of reasons, and the table is what the code does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamlog.broker.error_mapping import to_proto
from streamlog.client.errors import from_wire
from streamlog.model.error_documentation import CODE_NAMES, render
from streamlog.model.errors import Reason, StreamlogError

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "errors.md"
NODE_SOURCES = [
    path
    for path in sorted((ROOT / "streamlog").rglob("*.py"))
    if not path.name.endswith("_pb2.py") and "client" not in path.parts
]
GROUP_SOURCES = sorted((ROOT / "consumer_groups").rglob("*.py"))
TOLD_BY_THE_TRANSPORT = {"MESSAGE_TOO_LARGE"}
"""Kept for other transports: over gRPC the library itself refuses, as the page says."""


def reasons_named(tree: ast.AST) -> Iterator[str]:
    """`Reason.X` anywhere in the code."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "Reason"
            and not node.attr.startswith("__")
        ):
            yield node.attr


def metadata_given(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Reason and key of each `StreamlogError(Reason.X, message, {key: ...})`, and of each
    `GroupError`, whose partitions come as a key, too."""
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"StreamlogError", "GroupError"}
            and node.args
        ):
            continue
        for reason in reasons_named(ast.Module(body=[ast.Expr(node.args[0])], type_ignores=[])):
            if len(node.args) > 3:
                yield reason, "partitions"
            for argument in node.args:
                if isinstance(argument, ast.Dict):
                    for key in argument.keys:
                        assert isinstance(key, ast.Constant)
                        yield reason, str(key.value)


def test_the_page_is_what_the_table_says() -> None:
    """A reason that the page lacks fails here; the module's docstring has the command."""
    assert PAGE.read_text() == render()
    assert [line[3:] for line in render().splitlines() if line.startswith("## ")] == [
        reason.name for reason in Reason
    ]


def test_every_reason_in_the_code_is_in_the_table_and_the_other_way_round() -> None:
    """A name that the table lacks would fail only when it is raised; one nobody raises misleads."""
    used = {
        name for path in NODE_SOURCES for name in reasons_named(ast.parse(path.read_text()))
    } - {"name", "info"}
    assert used == set(Reason.__members__) - TOLD_BY_THE_TRANSPORT


def test_documented_metadata_is_what_the_code_gives() -> None:
    """No key that the page lacks, no key on the page that no error carries."""
    given = {
        pair
        for path in (*NODE_SOURCES, *GROUP_SOURCES)
        for pair in metadata_given(ast.parse(path.read_text()))
    }
    assert given == {(reason.name, key) for reason in Reason for key in reason.info.metadata}


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_complete(reason: Reason) -> None:
    """Code with a name, sentences that end, and the client sees the same flags."""
    info = reason.info
    assert info.code in CODE_NAMES
    assert info.documentation.endswith(".")
    assert info.advice.endswith(".")
    seen = from_wire(to_proto(StreamlogError(reason, "what happened")))
    assert (seen.code, seen.retriable, seen.indefinite) == (
        info.code,
        info.retriable,
        info.indefinite,
    )
    assert seen.fatal == (reason is Reason.UNSUPPORTED_VERSION)


def test_the_guarantees_name_every_indefinite_reason() -> None:
    """docs/guarantees.md lists them, and no other."""
    text = (ROOT / "docs" / "guarantees.md").read_text()
    paragraph = text.partition("## Definite and indefinite errors")[2].partition("\n## ")[0]
    named = {reason.name for reason in Reason if reason.name in paragraph}
    assert named == {reason.name for reason in Reason if reason.info.indefinite}
