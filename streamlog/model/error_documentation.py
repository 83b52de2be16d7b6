"""Renders `docs/errors.md` from the table of reasons.

python -m streamlog.model.error_documentation > docs/errors.md
"""

from __future__ import annotations

import sys

from streamlog.model import errors
from streamlog.model.errors import Reason

CODE_NAMES = {
    getattr(errors, name): name
    for name in (
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    )
}
"""Names of the canonical status codes that reasons use, by number."""

_HEAD = """# Errors

Generated from `streamlog/model/errors.py`; a test fails when it is stale.

Every error that a node tells has a stable **reason**. Inside streams it comes as
`streamlog.v1.Error`; a call that fails as a whole ends with the status below and, in the trailer
`grpc-status-details-bin`, a google.rpc.Status with an ErrorInfo (domain `streamlog`, the reason,
the metadata) and, when a pause is asked for, a RetryInfo. Decide by the reason, else by the status;
messages are for people and change.

- **retry**: the same request may succeed later; wait `retry_after_ms` (RetryInfo) or back off.
- **effect** "none": definite, the request certainly changed nothing. "perhaps": indefinite, it may
  have taken effect all the same.
- An unknown reason is from a newer version: go by its status and its `retriable` flag.
- **Fatal** for a connection is UNSUPPORTED_VERSION only; other errors leave the stream or the
  connection usable, apart from the calls that they end.

A failed call without an ErrorInfo comes from gRPC, not from a node: UNAVAILABLE or CANCELLED (no
connection, or it broke: indefinite, retry), DEADLINE_EXCEEDED (the client's own deadline:
indefinite, retry), UNIMPLEMENTED (the node does not know the method: fatal), RESOURCE_EXHAUSTED
(a message above `max_message_bytes`, both sizes in the text: do not retry it unchanged; or more
calls at a time than a node takes).
"""


def render() -> str:
    """The whole page."""
    return "\n".join([_HEAD, _table(), *map(_section, Reason)])


def _table() -> str:
    rows = [
        f"| [{reason.name}](#{reason.name.lower()}) | {CODE_NAMES[info.code]} ({info.code}) |"
        f" {'yes' if info.retriable else 'no'} | {'perhaps' if info.indefinite else 'none'} |"
        for reason in Reason
        for info in (reason.info,)
    ]
    return "\n".join(["| reason | status | retry | effect |", "|---|---|---|---|", *rows, ""])


def _section(reason: Reason) -> str:
    info = reason.info
    lines = [f"## {reason.name}", info.documentation, "", f"*What to do:* {info.advice}"]
    if info.metadata:
        keys = ", ".join(f"`{key}`" for key in info.metadata)
        lines += ["", f"*Metadata:* {keys}."]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(render())
