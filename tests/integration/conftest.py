"""What all tests on real nodes have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streamlog.cli.node.local_cluster import LocalCluster


@pytest.fixture(scope="session", autouse=True)
def retention_is_not_due() -> Iterator[None]:
    """Nodes let nothing go while a test goes on: many write records with old timestamps. Tests of
    retention set the variable themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMLOG_RETENTION_CHECK_MS", "3600000")
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
    """What caught each planted bug, by which of how many seeds: that they pass says little."""
    caught = sorted(
        str(value)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "planted"
    )
    if caught:
        terminalreporter.section("planted bugs")
        for line in caught:
            terminalreporter.write_line(line)
