"""For all tests: none fails because the machine is busy, and what passed once passes again.

Properties are tried on the same examples in every run. To look for new ones:
`pytest --hypothesis-profile=explore tests/properties`.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("repeatable", settings.default, deadline=None, derandomize=True)
settings.register_profile("explore", settings.default, deadline=None)
settings.load_profile("repeatable")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With `--reruns`: a test that passed at last is a defect all the same, and this is what was
    seen of it."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed before it passed: {report.nodeid}")
        terminalreporter.line(str(report.longrepr))
