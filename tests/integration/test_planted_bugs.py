"""The simulator catches nodes that break a promise: what it never catches, it does not test."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like.planted import BUGS, PlantedBug, planted_source

ROOT = Path(__file__).parents[2]
ONE_OF_EACH = {bug.name: bug for bug in BUGS}


@pytest.mark.parametrize("bug", BUGS, ids=list(ONE_OF_EACH))
def test_a_planted_bug_is_caught(bug: PlantedBug) -> None:
    """Within a bounded number of seeds, in a process of its own, whose modules are changed."""
    done = subprocess.run(
        [sys.executable, "-m", "jepsen_like.planted", bug.name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("bug", BUGS, ids=list(ONE_OF_EACH))
def test_a_bug_changes_the_source(bug: PlantedBug) -> None:
    """Its text is there once; code that moves takes its bug along."""
    spec = importlib.util.find_spec(bug.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert planted_source(bug, source) != source


def test_the_seed_that_shows_a_planted_bug_is_shrunk() -> None:
    """A journal that is not fsynced needs one power cut and one record to be seen."""
    done = subprocess.run(
        [sys.executable, "-m", "jepsen_like.planted", "journal-not-fsynced", "--shrink", "900"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"smallest case of .*: make sim SEED=1 (.*?)  ", done.stdout)
    assert found is not None, done.stdout
    settings = dict(setting.split("=") for setting in found[1].split())
    skipped = settings.get("SKIP", "").split(",")
    assert int(settings["STRIKES"]) - len(skipped) <= 3, found[0]
    assert int(settings["OPERATIONS"]) <= 50, found[0]
