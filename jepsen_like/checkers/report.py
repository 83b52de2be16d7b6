"""A verdict on a history, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from jepsen_like.checkers import CHECKERS
from jepsen_like.checkers.evidence import Evidence
from jepsen_like.checkers.history import Operation, Violation

ABSENT: Final = ("torn_transactions and write_read_cycles: there are no transactions yet",)
"""Checkers of Jepsen's that have nothing to look at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one checker said."""

    checker: str
    subject: str
    examined: int
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all checkers said."""

    operations: int
    findings: tuple[Finding, ...]

    @property
    def valid(self) -> bool:
        """No violation was found."""
        return not any(finding.violations for finding in self.findings)

    def as_table(self, cases: int) -> str:
        """For people: each checker's row, then the first `cases` of each that found something."""
        rows = [
            (
                finding.checker,
                f"{finding.examined:,} {finding.subject}",
                _found(finding),
            )
            for finding in self.findings
        ]
        header = ("checker", "looked at", "found")
        widths = [max(len(row[column]) for row in (header, *rows)) for column in range(3)]
        text = [f"{self.operations:,} lines"]
        for row in (header, *rows):
            padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            text.append(padded.rstrip())
        text.extend(f"absent: {name}" for name in ABSENT)
        for finding in self.findings:
            for violation in finding.violations[:cases]:
                numbers = ", ".join(str(line) for line in violation.lines)
                text.append(f"\n{finding.checker}, lines {numbers}:\n  {violation.message}")
            more = len(finding.violations) - cases
            if more > 0 and cases > 0:
                text.append(f"  and {more:,} more")
        found = sum(len(finding.violations) for finding in self.findings)
        text.append(f"\n{found:,} violations" if found else "\nno violations")
        return "\n".join(text) + "\n"

    def as_json(self, cases: int) -> dict[str, Any]:
        """For programs."""
        return {
            "valid": self.valid,
            "lines": self.operations,
            "checks": [
                {
                    "checker": finding.checker,
                    "subject": finding.subject,
                    "examined": finding.examined,
                    "found": len(finding.violations),
                    "cases": [
                        {"message": violation.message, "lines": list(violation.lines)}
                        for violation in finding.violations[:cases]
                    ],
                }
                for finding in self.findings
            ],
        }


def judge(history: Sequence[Operation]) -> Verdict:
    """Run every checker."""
    evidence = Evidence(history)
    findings = tuple(
        Finding(
            checker.name, checker.subject, checker.count(evidence), tuple(checker.find(evidence))
        )
        for checker in CHECKERS
    )
    return Verdict(len(history), findings)


def _found(finding: Finding) -> str:
    if finding.violations:
        return f"{len(finding.violations):,}"
    return "-" if finding.examined else "nothing to look at"
