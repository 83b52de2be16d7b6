"""The command: `python -m jepsen_like.checkers HISTORY.jsonl`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jepsen_like.checkers.history_file import HistoryUnreadable, from_json_lines
from jepsen_like.checkers.report import judge

CASES: Final = 3
DESCRIPTION: Final = """\
Looks for what must never happen in a recorded history of a log: lost writes, duplicates, readers
that disagree, consumers that skip or go back, replicas that differ. The definitions are those of
Jepsen's test of Kafka.
"""
EPILOG: Final = """\
a history has one JSON object a line, in the order in which things happened:

  {"process":"p1","kind":"invoke","what":"send","op":1,"partition":0,"value":"a","idempotent":true}
  {"process":"p1","kind":"ok","what":"send","op":1,"partition":0,"offset":1}
  {"process":"c1","kind":"ok","what":"assign","op":2,"partition":0,"offset":0}
  {"process":"c1","kind":"ok","what":"poll","op":3,"partition":0,"records":[[1,"a"]]}
  {"process":"last","kind":"ok","what":"drain","op":4,"partition":0,"records":[[1,"a"]],"end":2}

A send ends ok (stored), fail (certainly not) or info (nobody knows). The drain at the end reads
each partition from its start to its end; without one, records that nobody read count as unseen.
jepsen_like/README.md lists every field and every checker.

examples:
  python -m jepsen_like.sim --seed 17 --history var/17.jsonl   record one in the simulator
  python -m jepsen_like.checkers var/17.jsonl                  judge it
  python -m jepsen_like.checkers --json - < var/17.jsonl       the same for a program

exit code: 0 nothing was found, 1 something was, 2 the history can not be read
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge one history; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jepsen_like.checkers",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("history", metavar="HISTORY.jsonl", help="the file; - is standard input")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument(
        "--cases",
        type=int,
        default=CASES,
        metavar="N",
        help="show the first N of each kind (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.cases < 0:
        parser.error(f"--cases is {options.cases}, it must be 0 or more")
    try:
        if options.history == "-":
            text = sys.stdin.read()
        else:
            text = Path(options.history).read_text(encoding="utf-8")
        verdict = judge(from_json_lines(text))
    except (OSError, UnicodeDecodeError, HistoryUnreadable) as error:
        sys.stderr.write(f"{options.history}: {error}\n")
        return 2
    if options.json:
        sys.stdout.write(json.dumps(verdict.as_json(options.cases), indent=2) + "\n")
    else:
        sys.stdout.write(verdict.as_table(options.cases))
    return 0 if verdict.valid else 1


if __name__ == "__main__":
    sys.exit(main())
