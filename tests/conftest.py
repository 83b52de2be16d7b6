"""For all tests: none fails because the machine is busy, and what passed once passes again.

Properties are tried on the same examples in every run. To look for new ones:
`pytest --hypothesis-profile=explore tests/properties`.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.constants_ast import is_local_module_file

settings.register_profile(
    "repeatable",
    settings.default,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", settings.default, deadline=None)
settings.load_profile("repeatable")


def _gives_constants(path: str) -> bool:
    """Whether Hypothesis takes constants from a module's source for its examples.

    It looks at what is imported at the moment, so without this the examples would depend on which
    tests ran before in the same process, and would change with every number in the product.
    """
    now = settings.default
    return now is not None and not now.derandomize and is_local_module_file(path)


pytest.MonkeyPatch().setattr(
    "hypothesis.internal.conjecture.providers.is_local_module_file", _gives_constants
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With `--reruns`: a test that passed at last is a defect all the same, and this is what was
    seen of it."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed before it passed: {report.nodeid}")
        terminalreporter.line(str(report.longrepr))
