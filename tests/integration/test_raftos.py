"""The known-unsafe baseline is convicted by the checkers that acquit this platform."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from jepsen_like.checkers import check
from jepsen_like.raftos.__main__ import HOME
from jepsen_like.raftos.cluster import NodeGone
from jepsen_like.raftos.environment import NotInstalled, python_with_raftos
from jepsen_like.raftos.trial import Trial

ROUNDS_MAX = 20
"""A round convicts when the processes happen to time out in the order that shows the bug. One in
which nobody is elected, as on a busy machine, shows nothing."""


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return python_with_raftos(HOME / "venv")
    except NotInstalled as reason:
        pytest.skip(f"the trial of raftos: {reason}")


async def test_raftos_loses_what_it_acknowledged(python: Path, tmp_path: Path) -> None:
    """A record that it said was stored is missing after its leader was killed."""
    trial = Trial(python, tmp_path)
    found: set[str] = set()
    for number in range(ROUNDS_MAX):
        with suppress(TimeoutError, NodeGone):
            await trial.writes(number)
        found = {violation.checker for violation in check(trial.history)}
        if "lost_writes" in found:
            break
    assert "lost_writes" in found


async def test_raftos_elects_two_leaders_of_a_term(python: Path, tmp_path: Path) -> None:
    """Votes do not survive a kill."""
    trial = Trial(python, tmp_path)
    for number in range(ROUNDS_MAX):
        with suppress(TimeoutError, NodeGone):
            await trial.votes(number)
        if trial.double_leaders:
            break
    assert trial.double_leaders
