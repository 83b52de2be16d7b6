"""`streamlog server`: one node in this process, until a signal or a failure of its disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.node.resolved_settings import resolve, unknown_variables
from streamlog.cli.node.settings import ENVIRONMENT_PREFIX, given, with_options
from streamlog.cli.options import examples
from streamlog.model.settings.node import NodeConfig

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
DATA_DIRECTORY = Path("streamlog-data")

_LOG = logging.getLogger(__name__)


def register(application: typer.Typer) -> None:
    """Add the command; its options are the settings of a node."""
    application.command(
        "server",
        help="Run one node until it is told to stop.",
        epilog=examples(
            "streamlog server --bootstrap",
            "streamlog server --node-id 2 --bind 127.0.0.1:9093 --controllers 1@127.0.0.1:9092",
            "streamlog server --config node.toml",
        ),
    )(_command())


def _command() -> Any:
    """The command's function, with one parameter for each setting behind its own."""

    def server(
        *,
        data_dir: Annotated[
            Path,
            typer.Option(
                envvar=f"{ENVIRONMENT_PREFIX}DATA_DIR",
                help="Where the node keeps its data; made when it does not exist.",
            ),
        ] = DATA_DIRECTORY,
        config: Annotated[
            Path | None,
            typer.Option(
                envvar=f"{ENVIRONMENT_PREFIX}CONFIG",
                help="TOML file of settings. The environment goes before it, and options before"
                " both.",
            ),
        ] = None,
        log_format: Annotated[
            str, typer.Option(envvar=f"{ENVIRONMENT_PREFIX}LOG_FORMAT", help="text or json.")
        ] = "text",
        log_level: Annotated[
            str,
            typer.Option(
                envvar=f"{ENVIRONMENT_PREFIX}LOG_LEVEL", help="debug, info, warning or error."
            ),
        ] = "info",
        stop_with_input: Annotated[
            bool, typer.Option(help="Stop when standard input ends.", hidden=True)
        ] = False,
        **settings: Any,
    ) -> None:
        _choice("--log-format", log_format, LOG_FORMATS)
        _choice("--log-level", log_level, LOG_LEVELS)
        options = given(settings)

        def read() -> NodeConfig:
            return resolve(options, os.environ, config).config

        run_server(read, data_dir, log_format, log_level, stop_with_input)

    return with_options(server)


def run_server(
    read: Callable[[], NodeConfig],
    data_directory: Path,
    log_format: str,
    log_level: str,
    stop_with_input: bool,
) -> None:
    """Run the node to its end. Raises CommandFailed with the reason when it can not go on.

    `read` says what the settings are, now and at each SIGHUP.
    """
    config = read()
    # What is heavy is imported here, so that the help and a refusal of settings are quick.
    from streamlog.host import process

    try:
        process.reserve_descriptors(config.open_files)
    except process.TooFewDescriptors as error:
        raise CommandFailed(str(error), EXIT_USAGE) from error

    from streamlog.cli.node.logs import Logs
    from streamlog.cli.node.process import NodeEnded, serve

    logs = Logs(log_format, log_level, config.node_id)
    for note in unknown_variables(os.environ):
        _LOG.warning("variable_unknown", extra={"note": note})

    async def main() -> None:
        stop = process.stop_signal()
        if stop_with_input:
            process.stop_with_input(stop)
        await serve(config, data_directory, stop, read)

    try:
        process.run(main)
    except NodeEnded as error:
        raise CommandFailed(str(error)) from error
    finally:
        logs.close()


def _choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise CommandFailed(
            f"{option} = {value!r} is not allowed: one of {', '.join(allowed)}", EXIT_USAGE
        )
