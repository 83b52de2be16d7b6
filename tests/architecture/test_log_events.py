"""What a node logs has stable names, and each of them is explained to operators."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "log-events.md"
LOGGERS = {"_LOG", "_log", "logger", "LOG", "log"}
LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
}
SOURCES = sorted(
    path
    for package in ("streamlog", "replication", "consumer_groups")
    for path in (ROOT / package).rglob("*.py")
    if not path.name.endswith("_pb2.py")
)
RECORD_FIELDS = {"name", "msg", "args", "message", "module", "process", "thread", "node", "event"}
"""Names that a log record, or the node's own processors, have for themselves."""


def is_logger(node: ast.expr) -> bool:
    """A module's logger, or one that is asked for on the spot."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "logging.getLogger"
    return isinstance(node, ast.Name) and node.id in LOGGERS


def log_calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Level and call of everything that is logged."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and is_logger(node.func.value)
        ):
            yield LEVELS[node.func.attr], node


def logged() -> dict[str, set[str]]:
    """Levels by event."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for level, call in log_calls(ast.parse(path.read_text())):
            event = call.args[0] if call.args else None
            if isinstance(event, ast.Constant):
                found.setdefault(str(event.value), set()).add(level)
    return found


def documented() -> dict[str, set[str]]:
    """Levels by event, from the page's tables."""
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| .+ \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len({event for event, _ in rows})
    return {event: {level} for event, level in rows}


def test_every_event_is_documented_with_its_level() -> None:
    """No event that the page lacks, none on the page that no code logs."""
    assert logged() == documented()


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if "getLogger" in p.read_text()], ids=lambda p: p.stem
)
def test_an_event_is_a_name_with_values(path: Path) -> None:
    """The message is a name in snake case, never a sentence with values in it; values go by names
    that nothing else has."""
    for _, call in log_calls(ast.parse(path.read_text())):
        where = f"line {call.lineno}"
        assert len(call.args) == 1, f"{where}: values belong into extra"
        event = call.args[0]
        assert isinstance(event, ast.Constant), f"{where}: an event has a fixed name"
        name = str(event.value)
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name), f"{where}: {name}"
        for keyword in call.keywords:
            assert keyword.arg in {"extra", "exc_info"}, where
            if keyword.arg == "extra":
                assert isinstance(keyword.value, ast.Dict), where
                names = [ast.literal_eval(key) for key in keyword.value.keys if key is not None]
                assert not set(names) & RECORD_FIELDS, f"{where}: {names}"


def test_the_test_sees_what_it_must() -> None:
    """Sentences, formatted names and positional values are found in code that has them."""
    code = (
        'import logging\n_LOG.info("a_name", 1)\nlogging.getLogger("x").error(f"{y}")\n_LOG.warn()'
    )
    calls = list(log_calls(ast.parse(code)))
    assert [(level, len(call.args)) for level, call in calls] == [("info", 2), ("error", 1)]
