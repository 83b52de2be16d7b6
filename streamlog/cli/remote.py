"""What the commands that talk to a cluster share: where it is, and how failures are told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed, closed_pipe_ends_it

if TYPE_CHECKING:
    from streamlog.client.cluster_metadata import CallPolicy

ResultT = TypeVar("ResultT")

Bootstrap = Annotated[
    str,
    typer.Option(
        "--bootstrap",
        "-b",
        envvar="STREAMLOG_BOOTSTRAP",
        help="host:port of one or more nodes, separated by commas.",
    ),
]
BOOTSTRAP_DEFAULT = "127.0.0.1:9092"
CONNECT_TIMEOUT_S: Final = 5.0
PATIENCE_MS: Final = 10_000
"""How long a command asks again while leaders are elected; somebody waits at the terminal."""


def policy() -> CallPolicy:
    """How long a command tries."""
    from streamlog.client.cluster_metadata import CallPolicy

    return CallPolicy(request_timeout_ms=PATIENCE_MS, total_timeout_ms=PATIENCE_MS)


def run(work: Coroutine[Any, Any, ResultT], bootstrap: str) -> ResultT:
    """Run a command's work; what goes wrong becomes one line and an exit code."""
    from streamlog.client import ClientError, ConnectionLost
    from streamlog.model.errors import DEADLINE_EXCEEDED

    async def main() -> ResultT:
        try:
            await _reach(bootstrap)
        except BaseException:
            work.close()
            raise
        return await work

    try:
        with closed_pipe_ends_it():
            return asyncio.run(main())
    except ConnectionLost as error:
        if error.code == DEADLINE_EXCEEDED:
            raise CommandFailed(
                f"the cluster did not answer within {PATIENCE_MS // 1_000} s; a majority of its "
                "nodes must run ('streamlog cluster status'). What was asked for may still happen."
            ) from error
        raise _unreachable(bootstrap, str(error)) from error
    except ClientError as error:
        raise CommandFailed(str(error)) from error
    except ValueError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error


async def _reach(bootstrap: str) -> None:
    """See at once, not after all the patience of the client, when nobody listens at all.

    Raises CommandFailed with what each address said, ValueError.
    """
    from streamlog.client.cluster_metadata import parse_bootstrap

    failures = []
    for address in parse_bootstrap(bootstrap):
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except TimeoutError:
            failures.append(f"{address}: no answer within {CONNECT_TIMEOUT_S:.0f} s")
        except OSError as error:
            failures.append(f"{address}: {_why(error)}")
        else:
            writer.close()
            return
    raise _unreachable(bootstrap, "; ".join(failures))


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error)


def _unreachable(bootstrap: str, why: str) -> CommandFailed:
    return CommandFailed(
        f"no node answers at {bootstrap} ({why}). Is the cluster running? Name a node with "
        "--bootstrap or STREAMLOG_BOOTSTRAP."
    )


def settings(pairs: list[str]) -> dict[str, str]:
    """`key=value` options as a mapping. Raises CommandFailed."""
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CommandFailed(f"{pair!r} is not key=value", EXIT_USAGE)
        if key in parsed:
            raise CommandFailed(f"{key} is given twice", EXIT_USAGE)
        parsed[key] = value
    return parsed
