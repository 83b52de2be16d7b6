"""The simulator catches nodes that break a promise: what it never catches, it does not test."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from jepsen_like.planted.apart import look_for_apart
from jepsen_like.planted.bugs import BUGS, BySeeds, PlantedBug
from tests.integration.test_simulation import SEEDS

ROOT = Path(__file__).parents[2]
ONE_OF_EACH = {bug.name: bug for bug in BUGS}
BY_SEEDS = [bug for bug in BUGS if isinstance(bug.way, BySeeds)]


@pytest.mark.parametrize("bug", BUGS, ids=list(ONE_OF_EACH))
def test_a_planted_bug_is_caught(
    bug: PlantedBug, record_property: Callable[[str, object], None]
) -> None:
    """Within a bounded number of seeds, in a process of its own, whose modules are changed. What
    caught it is told at the end of the test run."""
    verdict = look_for_apart(bug)
    assert verdict.caught_by is not None, verdict.output
    record_property("planted", f"{bug.name}: caught by {verdict.caught_by}")


@pytest.mark.parametrize("bug", BUGS, ids=list(ONE_OF_EACH))
def test_a_bug_changes_the_source(bug: PlantedBug) -> None:
    """Its lines are there at one place; code that moves takes its bug along."""
    spec = importlib.util.find_spec(bug.module)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin) == ROOT / bug.patch.path
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert bug.planted(source) != source


def test_enough_bugs_are_caught_by_few_seeds() -> None:
    """Twenty and more, each within 200 seeds, which are green without the bug: they are among those
    that `test_simulation` runs."""
    assert len(BY_SEEDS) >= 20
    for bug in BY_SEEDS:
        assert isinstance(bug.way, BySeeds)
        assert bug.way.at_most <= 200, bug.name
        assert bug.way.seeds[-1] < SEEDS, bug.name


def test_the_table_names_what_seeds_catch() -> None:
    """In the README: each such bug, the seeds that are tried, and the number of the one that caught
    it where that was measured."""
    page = (ROOT / "jepsen_like" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([\w-]+)` \| .* \| (?:seed (\d+), the (\d+)\w\w|one) of at most (\d+) from (\d+) \|$",
        page,
        re.MULTILINE,
    )
    assert [name for name, *_ in rows] == [bug.name for bug in BY_SEEDS]
    for name, seed, tried, at_most, first in rows:
        assert ONE_OF_EACH[name].way == BySeeds(int(first), int(at_most)), name
        if seed:
            assert 0 < int(tried) == int(seed) - int(first) + 1 <= int(at_most), name


def test_the_seed_that_shows_a_planted_bug_is_shrunk() -> None:
    """A journal that is not fsynced needs one power cut and one record to be seen."""
    verdict = look_for_apart(ONE_OF_EACH["journal-not-fsynced"], "--shrink", "900")
    assert verdict.caught_by is not None, verdict.output
    found = re.search(r"smallest case of .*: make sim SEED=\d+ (.*?)  ", verdict.output)
    assert found is not None, verdict.output
    settings = dict(setting.split("=") for setting in found[1].split())
    skipped = settings.get("SKIP", "").split(",")
    assert int(settings["STRIKES"]) - len(skipped) <= 3, found[0]
    assert int(settings["OPERATIONS"]) <= 50, found[0]
