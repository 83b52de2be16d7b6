"""Patches of planted bugs change the lines they name, and nothing when those are gone."""

from __future__ import annotations

import difflib
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from jepsen_like.planted.bugs import (
    BUGS,
    PATCHES,
    ByCrashStates,
    BySeeds,
    ByTest,
    PlantedBug,
    parse_bug,
)
from jepsen_like.planted.patch import (
    Hunk,
    Patch,
    PatchDoesNotFit,
    UnreadablePatch,
    apply_patch,
    parse_patch,
)
from jepsen_like.planted.search import ordinal

ROOT = Path(__file__).parents[4]
DIFF = """\
--- a/streamlog/model/x.py
+++ b/streamlog/model/x.py
@@ -1,4 +1,4 @@
 def f():

-    sync()
+    pass
     return 1
"""
SOURCE = "def f():\n\n    sync()\n    return 1\n"
BUG = f"Breaks: a rule\nSeeds-from: 3\nSeeds-at-most: 200\n\n{DIFF}"


def unified(before: str, after: str) -> str:
    diff = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "a/x.py", "b/x.py", lineterm=""
    )
    return "\n".join(diff) + "\n"


def test_a_patch_is_read() -> None:
    """Path, place, old and new lines; an empty line of context may have lost its blank."""
    head, patch = parse_patch(f"why\nand so\n{DIFF}")
    assert head == "why\nand so"
    hunk = Hunk(
        0,
        ("def f():", "", "    sync()", "    return 1"),
        ("def f():", "", "    pass", "    return 1"),
    )
    assert patch == Patch("streamlog/model/x.py", (hunk,))
    assert apply_patch(patch, SOURCE) == "def f():\n\n    pass\n    return 1\n"


def test_a_patch_follows_code_that_moved() -> None:
    """To the one place that has its lines."""
    _, patch = parse_patch(DIFF)
    moved = f"import os\n\n\n{SOURCE}"
    assert apply_patch(patch, moved) == moved.replace("sync()", "pass")


def test_a_patch_prefers_the_place_it_names() -> None:
    """Though the same lines are elsewhere, too."""
    _, patch = parse_patch(DIFF)
    assert apply_patch(patch, SOURCE * 2) == SOURCE.replace("sync()", "pass") + SOURCE


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (SOURCE.replace("return 1", "return 2"), "not at line 1 nor elsewhere"),
        (f"import os\n{SOURCE * 2}", "not at line 1 but at 2, 6"),
        ("", "not at line 1 nor elsewhere"),
    ],
    ids=["changed", "twice", "gone"],
)
def test_a_patch_that_does_not_fit_changes_nothing(source: str, told: str) -> None:
    """It is told which, where it was looked for, and what to do."""
    bug = parse_bug("no-sync", BUG)
    with pytest.raises(PatchDoesNotFit, match=told) as caught:
        bug.planted(source)
    assert str(caught.value).startswith("jepsen_like/planted/no-sync.patch: streamlog/model/x.py")
    assert "    sync()" in str(caught.value)
    assert "Move it along with the code" in str(caught.value)


def test_patches_make_of_a_text_what_was_diffed() -> None:
    """Random changes of random texts, hunks at the begin and at the end among them."""
    source = random.Random(5)
    for _ in range(300):
        lines = [f"{source.randrange(1_000)}" for _ in range(source.randint(3, 40))]
        changed = list(lines)
        for _ in range(source.randint(1, 5)):
            at = source.randrange(len(changed) + 1)
            changed[at : at + source.randint(0, 2)] = ["new"] * source.randint(0, 2)
        before, after = "\n".join(lines) + "\n", "\n".join([*changed, ""])
        if before != after:
            _, patch = parse_patch(unified(before, after))
            assert apply_patch(patch, before) == after
            with pytest.raises(PatchDoesNotFit):
                apply_patch(patch, "\n".join([*("old" for _ in lines), ""]))


@pytest.mark.parametrize(
    "text",
    [
        "Breaks: a rule\n",
        DIFF.replace("+++ b/streamlog", "+++ b/replication"),
        DIFF.partition("@@")[0],
        DIFF.replace("-1,4", "-1,5"),
        DIFF.replace("     return 1", "\\ No newline at end of file"),
        f"{DIFF}{DIFF}",
        "--- a/x.py\n+++ b/x.py\n@@ -0,0 +1,1 @@\n+pass\n",
    ],
    ids=["none", "two files", "empty", "too short", "other marks", "two patches", "no context"],
)
def test_what_is_no_patch_of_one_file_is_refused(text: str) -> None:
    """Rather than applied in part."""
    with pytest.raises(UnreadablePatch):
        parse_patch(text)


def test_the_head_says_how_a_bug_is_looked_for() -> None:
    """In one of three ways."""
    bug = parse_bug("no-sync", BUG)
    assert (bug.breaks, bug.module, bug.way) == ("a rule", "streamlog.model.x", BySeeds(3, 200))
    assert list(BySeeds(3, 2).seeds) == [3, 4]
    states = parse_bug("b", f"Breaks: r\nCrash-states-of: rolls\nStates: 400\n{DIFF}")
    assert states.way == ByCrashStates("rolls", 400)
    test = parse_bug("b", f"Breaks: r\nTest: tests/x.py::test_y\ndiff --git a/x b/x\n{DIFF}")
    assert test.way == ByTest("tests/x.py::test_y")


@pytest.mark.parametrize(
    "head",
    [
        "Breaks: a rule",
        "Seeds-from: 3\nSeeds-at-most: 200",
        "Breaks: a rule\nSeeds-from: 3",
        "Breaks: a rule\nSeeds-from: 3\nSeeds-at-most: many",
        "Breaks: a rule\nTest: tests/x.py::test_y\nStates: 3",
    ],
)
def test_another_head_is_refused(head: str) -> None:
    """Keys that are missing, without a meaning, or no numbers."""
    with pytest.raises(ValueError, match=r"head|invalid literal"):
        parse_bug("no-sync", f"{head}\n\n{DIFF}")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_makes_the_same_of_the_patch_files(tmp_path: Path) -> None:
    """`git apply` takes each patch file, from the root of the repository."""
    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    for bug in BUGS:
        source = (ROOT / bug.patch.path).read_text(encoding="utf-8")
        copy = tmp_path / bug.name / bug.patch.path
        copy.parent.mkdir(parents=True)
        copy.write_text(source, encoding="utf-8")
        subprocess.run(
            ["git", "apply", str(PATCHES / f"{bug.name}.patch")],
            cwd=tmp_path / bug.name,
            env=outside,
            check=True,
        )
        assert copy.read_text(encoding="utf-8") == bug.planted(source), bug.name


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_patched_module_is_still_python(bug: PlantedBug) -> None:
    """A bug that is a syntax error would be caught by anything."""
    source = (ROOT / bug.patch.path).read_text(encoding="utf-8")
    compile(bug.planted(source), bug.patch.path, "exec")


def test_ordinals() -> None:
    """As people write them."""
    said = [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 42, 101, 111, 200)]
    assert said[:4] == ["1st", "2nd", "3rd", "4th"]
    assert said[4:8] == ["11th", "12th", "13th", "21st"]
    assert said[8:] == ["42nd", "101st", "111th", "200th"]
