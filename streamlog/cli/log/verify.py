"""`streamlog log verify`: what to check below the paths that were given, and the report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.log.data_directory import DIRECTORIES, FILES, DataDirectory, held
from streamlog.cli.log.data_directory import is_data_directory as is_data
from streamlog.cli.log.finding import WHOLE_NODE_ADVICE, Finding, Verdict
from streamlog.cli.log.log_files import LogFiles
from streamlog.cli.log.segment_batches import DamagedSegment, SegmentBatches
from streamlog.cli.output import Output, counted, show_json, size_text, table
from streamlog.cli.progress import PAUSE_S, StatusLine


def verify_paths(paths: list[Path], output: Output) -> None:
    """Check and report. Raises CommandFailed when something is damaged or can not be checked."""
    # Damage that the node's own code meets is in the report already, and not for its log.
    logging.getLogger("streamlog").addHandler(logging.NullHandler())
    with StatusLine() as status:
        verification = Verification(status)
        for path in paths:
            verification.check(path)
    findings = verification.findings
    order = list(Verdict)
    findings.sort(key=lambda finding: order.index(finding.verdict))
    counts = Counter(finding.verdict for finding in findings)
    found = {verdict.value: counts[verdict] for verdict in order if counts[verdict]}
    rows = [_row(finding) for finding in findings]
    if output is Output.JSON:
        show_json({"files": rows, "sum": found, "read_bytes": verification.read_bytes})
    else:
        typer.echo(table(rows))
        told = ", ".join(f"{number} {verdict}" for verdict, number in found.items())
        size = size_text(verification.read_bytes)
        typer.echo(f"{counted(len(findings), 'finding')}, {size} read: {told}")
    if counts[Verdict.DAMAGED]:
        raise CommandFailed(
            f"{counts[Verdict.DAMAGED]} of {counted(len(findings), 'finding')} "
            f"{'is' if counts[Verdict.DAMAGED] == 1 else 'are'} damage: the column 'next' says "
            "what to do"
        )


class Verification:
    """What was found below several paths."""

    def __init__(self, status: StatusLine) -> None:
        self.findings: list[Finding] = []
        self.read_bytes = 0
        self._status = status
        self._where = ""
        self._shown_s = 0.0

    def check(self, path: Path) -> None:
        """A data directory, a directory with some in it, a directory of segments, or a file.

        Raises CommandFailed when it is none of these, or a node runs on it.
        """
        if not path.exists():
            raise CommandFailed(f"{path}: No such file or directory", EXIT_USAGE)
        try:
            if path.is_dir():
                self._check_directory(path)
            else:
                self._check_file(path)
        except OSError as error:  # of a file it would be a finding
            raise CommandFailed(f"{error.filename}: {error.strerror}", EXIT_USAGE) from error

    def _check_directory(self, path: Path) -> None:
        nodes = [path] if is_data(path) else [p for p in sorted(path.iterdir()) if is_data(p)]
        logs = [] if nodes else sorted({found.parent for found in path.rglob("*.segment")})
        if not nodes and not logs:
            expected = ", ".join((*FILES, *(f"{name}/" for name in DIRECTORIES)))
            raise CommandFailed(
                f"{path} is no data directory of a node, which has {expected}; and it holds no "
                "segment files (*.segment)",
                EXIT_USAGE,
            )
        for root in nodes:
            with held(root):
                check = DataDirectory(root, self._read, partial(self._at, root))
                self._add(root, asyncio.run(check.check()))
        for directory in logs:
            self._at(directory, "segments")
            found = asyncio.run(LogFiles(directory, ".", None, self._read).check())
            self._add(directory, found)

    def _check_file(self, path: Path) -> None:
        self._at(path, "one file")
        batches = 0
        try:
            segment = SegmentBatches(path, self._read)
            for _ in segment.batches():
                batches += 1
        except DamagedSegment as error:
            found = Finding(path.name, str(error), Verdict.DAMAGED, WHOLE_NODE_ADVICE)
        else:
            info = segment.info
            what = f"group {info.identity.group_id}, from offset {info.base_offset} up to "
            found = Finding(path.name, f"{what}{segment.end}: batches {batches}")
        self._add(path.parent, [found])

    def _add(self, root: Path, findings: list[Finding]) -> None:
        self.findings += [replace(each, file=str(root / each.file)) for each in findings]

    def _at(self, path: Path, what: str) -> None:
        self._where = f"{path}: {what}"
        self._show()

    def _read(self, size_bytes: int) -> None:
        self.read_bytes += size_bytes
        if time.monotonic() - self._shown_s >= PAUSE_S:
            self._show()

    def _show(self) -> None:
        self._shown_s = time.monotonic()
        self._status.show(f"{self._where}; {size_text(self.read_bytes)} read")


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.file,
        "what": finding.what,
        "verdict": finding.verdict.value,
        "next": finding.next_step,
    }
