"""What all tests on real nodes have in common."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streamlog.cli.node import local_cluster
from streamlog.cli.node.local_cluster import LocalCluster


@pytest.fixture(scope="session", autouse=True)
def retention_is_not_due() -> Iterator[None]:
    """Nodes let nothing go while a test goes on: many write records with old timestamps. Tests of
    retention set the variable themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMLOG_RETENTION_CHECK_MS", "3600000")
        yield


@pytest.fixture(scope="session", autouse=True)
def ports_of_its_own() -> Iterator[None]:
    """Of tests that run side by side none takes a port that another one's node is about to bind, or
    has left for a moment, or where a test wants nobody to listen."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = local_cluster.PORTS
    share = len(ports) // workers
    first = ports.start + share * int(worker.removeprefix("gw"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_cluster, "PORTS", range(first, first + share))
        yield


@pytest.fixture(scope="session", autouse=True)
def nodes_take_their_time() -> Iterator[None]:
    """To start: somebody at a terminal would lose patience earlier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_cluster, "START_TIMEOUT_S", 300.0)
        yield


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """Three nodes. Who needs other settings puts them into the environment, in a fixture that is
    used by itself."""
    cluster = LocalCluster(tmp_path, nodes=3)
    try:
        await cluster.start()
        yield cluster
    finally:
        cluster.kill_all()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often each fault took effect, and what caught each planted bug, by which of how many
    seeds: that these tests pass says little."""
    for told, title in (("struck", "faults"), ("planted", "planted bugs")):
        lines = sorted(
            str(value)
            for report in terminalreporter.getreports("passed")
            for name, value in report.user_properties
            if name == told
        )
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.write_line(line)
