"""What the commands that talk to a cluster share: where it is, and how failures are told."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from streamlog.cli.completion import complete_profiles
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.target import BOOTSTRAP_VARIABLE, DEFAULT, Target, resolve_target
from streamlog.cli.topics.names import SUGGESTION_TIMEOUT_S, hint, names_of

if TYPE_CHECKING:
    from streamlog.client import Admin
    from streamlog.client.connections.cluster_metadata import CallPolicy

ResultT = TypeVar("ResultT")

CONNECT_TIMEOUT_S: Final = 5.0
PATIENCE_MS: Final = 10_000
"""How long a command asks again while leaders are elected; somebody waits at the terminal."""

_OPTIONS: Final = {
    "bootstrap": Annotated[
        str | None,
        typer.Option(
            "--bootstrap",
            "-b",
            metavar="ADDRESSES",
            help="host:port of one or more nodes, separated by commas. Default:"
            f" {BOOTSTRAP_VARIABLE}, else the profile's, else {DEFAULT}.",
        ),
    ],
    "profile": Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Cluster by the name 'streamlog profile' knows. Default: STREAMLOG_PROFILE, else"
            " the current one.",
            autocompletion=complete_profiles,
        ),
    ],
}


def on_cluster(command: Callable[..., None]) -> Callable[..., None]:
    """A command's function whose last parameter is `target`, as typer is to see it: with
    `--bootstrap` and `--profile` instead."""

    def wrapped(**values: Any) -> None:
        target = resolve_target(values.pop("bootstrap"), values.pop("profile"), os.environ)
        if target.note:
            typer.echo(f"note: {target.note}", err=True)
        command(**values, target=target)

    parameters = inspect.signature(command, eval_str=True).parameters
    wrapped.__doc__ = command.__doc__
    wrapped.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *(parameter for name, parameter in parameters.items() if name != "target"),
            *(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
                )
                for name, annotation in _OPTIONS.items()
            ),
        ]
    )
    return wrapped


def policy() -> CallPolicy:
    """How long a command tries."""
    from streamlog.client.connections.cluster_metadata import CallPolicy

    return CallPolicy(request_timeout_ms=PATIENCE_MS, total_timeout_ms=PATIENCE_MS)


def admin_of(target: Target) -> Admin:
    """An administrator of the cluster, with the patience of a command."""
    from streamlog.client import Admin

    return Admin(target.bootstrap, policy=policy())


def run(work: Coroutine[Any, Any, ResultT], target: Target, topics: Sequence[str] = ()) -> ResultT:
    """Run a command's work; what goes wrong becomes one line and an exit code.

    `topics` are those that the user named: when one is unknown, names like it are suggested.
    """
    from streamlog.client import ClientError, ConnectionLost, TopicUnknown
    from streamlog.model.errors import DEADLINE_EXCEEDED

    # What the client logs for applications the commands say in words of their own.
    logging.getLogger("streamlog.client").addHandler(logging.NullHandler())

    async def main() -> ResultT:
        try:
            await _reach(target)
        except BaseException:
            work.close()
            raise
        try:
            return await work
        except TopicUnknown as error:
            raise CommandFailed(f"{error}{await _suggestion(target, topics)}") from error

    try:
        return asyncio.run(main())
    except ConnectionLost as error:
        if error.code == DEADLINE_EXCEEDED:
            raise CommandFailed(
                f"the cluster did not answer within {PATIENCE_MS // 1_000} s; a majority of its "
                "nodes must run ('streamlog cluster status'). What was asked for may still happen."
            ) from error
        raise _unreachable(target, str(error)) from error
    except ClientError as error:
        raise CommandFailed(str(error)) from error
    except ValueError as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error


async def _suggestion(target: Target, topics: Sequence[str]) -> str:
    """Names that are like those that were given; empty when the cluster does not tell."""
    from streamlog.client import ClientError

    try:
        async with asyncio.timeout(SUGGESTION_TIMEOUT_S):
            known = await names_of(target)
    except (ClientError, TimeoutError):
        return ""
    return "".join(f"; {hint(topic, known)}" for topic in topics if topic not in known)


async def _reach(target: Target) -> None:
    """See at once, not after all the patience of the client, when nobody listens at all.

    Raises CommandFailed with what each address said.
    """
    failures = []
    for address in target.addresses:
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
    raise _unreachable(target, "; ".join(failures))


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or str(error)


def _unreachable(target: Target, why: str) -> CommandFailed:
    return CommandFailed(
        f"no node answers at {target.bootstrap}, from {target.source} ({why}). Is the cluster "
        f"running? Name a node with --bootstrap, {BOOTSTRAP_VARIABLE} or a profile."
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
