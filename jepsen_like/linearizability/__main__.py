"""The command: `python -m jepsen_like.linearizability HISTORY.jsonl`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from jepsen_like.checkers.history_file import HistoryUnreadable, from_json_lines
from jepsen_like.linearizability.operations import appends, to_json_lines
from jepsen_like.linearizability.search import GoMissing, SearchFailed, Verdict, build, search

TIMEOUT_S: Final = 30.0
DESCRIPTION: Final = """\
Are the operations on each key linearizable: is there one order of them, true to the times of calls
and answers, that explains everything that clients were told?
"""
EPILOG: Final = """\
models:
  append  a partition's log: sends with and without a condition, and ends. The file is a history, as
          python -m jepsen_like.checkers reads it; keys are partitions
  topic   a topic of one name with a setting. The file has one operation a line; the docstring of
          jepsen_like/linearizability/operations.py lists the fields

The search is porcupine's, in Go, and is built when it is first needed. Its time is bounded; when
the time is up, nothing is known.

exit code: 0 linearizable, 1 not, 2 not a history or no Go, 3 unknown
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge one file; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jepsen_like.linearizability",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="HISTORY.jsonl", help="the file; - is standard input")
    parser.add_argument("--model", choices=["append", "topic"], default="append")
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="of the search, for all keys together (default %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    options = parser.parse_args(arguments)
    if not options.timeout > 0:
        parser.error(f"--timeout is {options.timeout}, it must be above 0")
    try:
        is_stream = options.file == "-"
        text = sys.stdin.read() if is_stream else Path(options.file).read_text(encoding="utf-8")
        operations = text
        if options.model == "append":
            operations = to_json_lines(appends(from_json_lines(text)))
        verdicts = search(build(), options.model, operations, options.timeout)
    except (OSError, UnicodeDecodeError, HistoryUnreadable, GoMissing, SearchFailed) as error:
        sys.stderr.write(f"{options.file}: {error}\n")
        return 2
    if options.json:
        sys.stdout.write(json.dumps([asdict(verdict) for verdict in verdicts], indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{verdict}\n" for verdict in verdicts))
    return _exit_code(verdicts)


def _exit_code(verdicts: Sequence[Verdict]) -> int:
    results = {verdict.result for verdict in verdicts}
    if "violated" in results:
        return 1
    return 3 if "unknown" in results else 0


if __name__ == "__main__":
    sys.exit(main())
