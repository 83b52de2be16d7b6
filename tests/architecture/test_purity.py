"""Pure packages stay pure, and node code reaches the world through its ports only.

Read from the syntax tree, so that it also holds for code no test runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PURE_PACKAGES = (
    "replication/raft",
    "consumer_groups",
    "streamlog/model",
    "streamlog/cluster/metadata",
)
"""No I/O, time, randomness, asyncio or logging: values in, values out."""

NODE_PACKAGES = (
    "replication",
    "consumer_groups",
    "streamlog/storage",
    "streamlog/cluster",
    "streamlog/broker",
    "streamlog/groups",
    "streamlog/gateway",
    "streamlog/server",
)
"""What the simulator runs: asyncio is allowed, the world is not."""

WORLD = {
    "concurrent",
    "ctypes",
    "fcntl",
    "grpc",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "pickle",
    "queue",
    "random",
    "secrets",
    "select",
    "selectors",
    "shelve",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
    "uvloop",
}
ONLY_IN_NODES = {"asyncio", "logging", "structlog"}
WORLD_CALLS = {"open", "input", "print", "exec", "eval"}
WORLD_ATTRIBUTES = {"run_in_executor", "to_thread", "now", "utcnow", "today", "TaskGroup"}


def modules(packages: tuple[str, ...]) -> list[Path]:
    """Source files of the packages, without generated code."""
    return sorted(
        path
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if not path.name.endswith("_pb2.py")
    )


def imported(tree: ast.Module) -> Iterator[str]:
    """Top-level names of everything the module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(PURE_PACKAGES), ids=name_of)
def test_pure_packages_import_no_world(path: Path) -> None:
    """Nothing pure can even name a clock, a file, a loop or a logger."""
    tree = ast.parse(path.read_text())
    assert sorted(set(imported(tree)) & (WORLD | ONLY_IN_NODES)) == []


@pytest.mark.parametrize("path", modules(NODE_PACKAGES), ids=name_of)
def test_node_code_uses_ports(path: Path) -> None:
    """Threads, executors, files, sockets, clocks and randomness exist behind the ports only."""
    tree = ast.parse(path.read_text())
    assert sorted(set(imported(tree)) & WORLD) == []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                assert function.id not in WORLD_CALLS, f"line {node.lineno}: {function.id}()"
            elif isinstance(function, ast.Attribute):
                assert function.attr not in WORLD_ATTRIBUTES, f"line {node.lineno}"


@pytest.mark.parametrize("path", modules(NODE_PACKAGES), ids=name_of)
def test_node_code_never_iterates_a_set(path: Path) -> None:
    """The order of a set is not the same in the next run: sort it, or use a dict."""
    for node in ast.walk(ast.parse(path.read_text())):
        loops = [node.iter] if isinstance(node, ast.For | ast.comprehension) else []
        for iterable in loops:
            is_set = isinstance(iterable, ast.Set | ast.SetComp) or (
                isinstance(iterable, ast.Call)
                and isinstance(iterable.func, ast.Name)
                and iterable.func.id in {"set", "frozenset"}
            )
            assert not is_set, f"line {iterable.lineno}"
