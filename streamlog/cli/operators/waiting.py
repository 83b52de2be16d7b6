"""What commands share that wait for something the cluster carries out by itself.

The wish is committed before anybody waits, so a command that is interrupted, or gives up, leaves
nothing half done: the cluster goes on, and the same command can be run again to go on waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from streamlog.cli.failure import CommandFailed
from streamlog.cli.options import whole_number
from streamlog.cli.progress import StatusLine

POLL_S: Final = 0.5
UNANSWERED_S: Final = 60.0
"""Without an answer for so long, a wait ends; leaders change in less."""
TIMEOUT_S_MAX: Final = 10_000_000
NODE_ID_MAX: Final = 2**31 - 1

Wait = Annotated[
    bool,
    typer.Option("--wait/--no-wait", help="Wait until it is carried out, or only until decided."),
]


def timeout_option(meaning: str) -> Any:
    """`--timeout`, with what it bounds."""
    return typer.Option(
        "--timeout", metavar="SECONDS", parser=whole_number(0, TIMEOUT_S_MAX), help=meaning
    )


Timeout = Annotated[
    int | None,
    timeout_option("Longest wait; exit code 1 after it, and the cluster goes on. Default: no end."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Although partitions may be without a majority."),
]
NodeId = Annotated[
    int,
    typer.Argument(metavar="NODE", help="Id of the node.", parser=whole_number(1, NODE_ID_MAX)),
]

Look = Callable[[], Awaitable[str | None]]
"""What is still to be done, for people; None: nothing."""


async def wait_until(look: Look, *, timeout_s: float | None, afterwards: str) -> None:
    """Look twice a second until nothing is left to do, with a line on the terminal.

    Args:
        look: may raise ClientError; retriable ones are borne for a while.
        timeout_s: seconds; None: no end.
        afterwards: what whoever gave up waiting is told.

    Raises CommandFailed (the time is up), ClientError.
    """
    from streamlog.client import ClientError

    began_s = answered_s = time.monotonic()
    left: str | None = "no node has answered yet"
    with StatusLine() as status:
        while True:
            try:
                left = await look()
                answered_s = time.monotonic()
            except ClientError as error:
                if not error.retriable or time.monotonic() - answered_s > UNANSWERED_S:
                    raise
            if left is None:
                return
            status.show(left)
            if timeout_s is not None and time.monotonic() - began_s >= timeout_s:
                raise CommandFailed(f"not done within {timeout_s:g} s: {left}; {afterwards}")
            await asyncio.sleep(POLL_S)


@contextmanager
def advised(advice: dict[str, str]) -> Iterator[None]:
    """Refusals of these reasons end with what to do about them. Raises CommandFailed."""
    from streamlog.client import ClientError

    try:
        yield
    except ClientError as error:
        if error.reason in advice:
            raise CommandFailed(f"{error}; {advice[error.reason]}") from error
        if error.indefinite:
            raise CommandFailed(
                f"{error}; it may have been done all the same: run the command again"
            ) from error
        raise
