"""Runs the search: builds the Go program once, feeds it, reads its verdicts.

The modules it needs come through Go's own cache and proxy, pinned by `search/go.sum`. A search may
take for ever, so its time is bounded; when the time is up the verdict is `unknown`, never
`linearizable`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

SOURCE: Final = Path(__file__).parent / "search"
PROGRAM: Final = Path(__file__).parents[2] / "var" / "linearizability" / "search"
"""Ignored by git."""
BUILD_SECONDS_MAX: Final = 300.0
"""The first time Go builds its own library, too."""
GRACE_SECONDS: Final = 10.0
"""For reading and answering, on top of the search's own limit."""
HOW_TO_GET_GO: Final = (
    "Go 1.22 or newer is missing: install it from https://go.dev/dl or with apt-get install"
    " golang-go, and see that `go` is on PATH"
)

Model = Literal["append", "topic"]
Result = Literal["linearizable", "violated", "unknown"]


class GoMissing(Exception):
    """The search can not be built here; says why, and what to do."""


class SearchFailed(Exception):
    """The program refused its input, or broke."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one key."""

    key: str
    operations: int
    result: Result
    """`unknown`: the time was up."""
    explained: int
    """Operations in the longest order found that explains what was seen."""
    left: tuple[int, ...]
    """Lines of the first to end among those that this order leaves out."""
    seconds: float

    def __str__(self) -> str:
        text = f"key {self.key}: {self.operations:,} operations, {self.result}"
        if self.result == "violated":
            lines = ", ".join(str(line) for line in self.left)
            text += f": the longest order explains {self.explained:,}, not those of lines {lines}"
        elif self.result == "unknown":
            text += f": no answer after {self.seconds:.1f} s, {self.explained:,} explained"
        return text


def find_go() -> str:
    """The Go command. Raises GoMissing."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if found is None:
        raise GoMissing(HOW_TO_GET_GO)
    return found


def build(program: Path = PROGRAM) -> Path:
    """Build the search, which is quick when it was built before. Raises GoMissing."""
    program.parent.mkdir(parents=True, exist_ok=True)
    own = program.with_name(f"{program.name}.{os.getpid()}")
    try:
        done = subprocess.run(
            [find_go(), "build", "-buildvcs=false", "-o", str(own), "."],
            cwd=SOURCE,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GoMissing(f"go build took more than {BUILD_SECONDS_MAX:.0f} s") from error
    if done.returncode:
        raise GoMissing(
            f"go build failed; it needs Go 1.22 and, the first time, Go's module proxy:"
            f" {done.stderr.strip()}"
        )
    own.replace(program)  # Whoever runs the old one at the moment goes on with it.
    return program


def ready(program: Path = PROGRAM) -> Path:
    """The search, built when it is not there or older than its source. Raises GoMissing."""
    newest = max(path.stat().st_mtime for path in SOURCE.iterdir())
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    return build(program)


def search(program: Path, model: Model, operations: str, timeout_s: float) -> list[Verdict]:
    """Judge operations (`operations.to_json_lines`), each key by itself.

    Args:
        program: From `build`.
        model: Which specification.
        operations: JSON lines.
        timeout_s: For all keys together, above 0.

    Raises SearchFailed.
    """
    try:
        done = subprocess.run(
            [str(program), f"-model={model}", f"-timeout={timeout_s}s"],
            input=operations,
            capture_output=True,
            text=True,
            timeout=timeout_s + GRACE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SearchFailed(f"no answer {GRACE_SECONDS:.0f} s after its limit") from error
    if done.returncode:
        raise SearchFailed(done.stderr.strip())
    return [
        Verdict(
            key=entry["key"],
            operations=entry["operations"],
            result=entry["result"],
            explained=entry["explained"],
            left=tuple(entry["left"]),
            seconds=entry["seconds"],
        )
        for entry in json.loads(done.stdout)
    ]
