"""One node on the real ports, from its start to its end, and what its end is called."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from prometheus_client import ProcessCollector

from replication.errors import ReplicationError
from replication.ports import CallFailed, Clock, Ports
from streamlog.cli.failure import CommandFailed
from streamlog.host.clock import RealClock
from streamlog.host.disk import RealDisk
from streamlog.host.network import GrpcNetwork
from streamlog.host.operations_server import OperationsServer
from streamlog.host.process import freeze_heap, on_reload_signal
from streamlog.model.errors import StreamlogError
from streamlog.model.settings.address import split_address
from streamlog.model.settings.node import NodeConfig
from streamlog.server.node import Node, build_node
from streamlog.server.operations import Operations
from streamlog.storage.identity import IdentityRefused

_LOG = logging.getLogger(__name__)


class NodeEnded(Exception):
    """The node could not start, or could not go on; the message says why, for people."""


async def serve(
    config: NodeConfig,
    data_directory: Path,
    stop: asyncio.Event,
    reread: Callable[[], NodeConfig] | None = None,
) -> None:
    """Run a node until `stop`; SIGHUP makes it take over what `reread` says. Raises NodeEnded."""
    disk = RealDisk(data_directory)
    ports = Ports(
        clock=RealClock(),
        disk=disk,
        network=GrpcNetwork(message_bytes_max=config.message_bytes, peer_port=config.peer_port),
        random=random.Random(),
    )
    node = build_node(config, ports)
    if reread is not None:
        on_reload_signal(partial(_reload, node, reread))
    try:
        async with _operations(node, config, ports.clock):
            await _run(node, stop)
    except (OSError, StreamlogError, ReplicationError, IdentityRefused, CallFailed) as error:
        raise NodeEnded(reason_of(error, config, data_directory)) from error
    except Exception as error:
        _LOG.exception("node_defect")
        raise NodeEnded(f"a defect of the node, see its log: {error!r}") from error
    finally:
        await disk.close()


def _reload(node: Node, reread: Callable[[], NodeConfig]) -> None:
    """Take over changed settings, or none when anything is wrong with them."""
    try:
        change = node.settings.apply(reread())
    except (StreamlogError, CommandFailed) as error:
        _LOG.error("settings_refused", extra={"reason": str(error)})
        return
    if change.need_restart:
        _LOG.warning("settings_need_restart", extra={"settings": change.need_restart})
    _LOG.info("settings_changed", extra={"settings": change.changed})


@asynccontextmanager
async def _operations(node: Node, config: NodeConfig, clock: Clock) -> AsyncIterator[None]:
    """Answer operators from before the start to after the stop, if the node shall. Raises OSError
    when the address can not be bound."""
    address = split_address(config.operations_bind)
    if address is None:
        yield
        return
    operations = Operations(node, clock, [ProcessCollector(registry=None)])
    try:
        server = OperationsServer(address, operations.answer)
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror} (operations.bind)", config.operations_bind
        ) from error
    operations.start()
    server.start()
    _LOG.info("operations_listening", extra={"host": address[0], "port": server.port})
    try:
        yield
    finally:
        await server.stop()
        await operations.stop()


async def _run(node: Node, stop: asyncio.Event) -> None:
    """Start, wait for a reason to stop, stop. Raises what made the node fail."""
    starting = asyncio.ensure_future(node.start())
    stopping = asyncio.ensure_future(stop.wait())
    failing = asyncio.ensure_future(node.failed())
    try:
        await asyncio.wait([starting, stopping, failing], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            freeze_heap()
            _LOG.info("node_started", extra={"address": node.address})
            await asyncio.wait([stopping, failing], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in (starting, stopping, failing):
            waiter.cancel()
        await asyncio.wait([starting, stopping, failing])
        if starting.cancelled() or starting.exception() is None:  # else it was never there
            _LOG.info("node_stopping")
        await node.stop()
    if failing.done() and not failing.cancelled():
        raise failing.result()
    _LOG.info("node_stopped")


def reason_of(error: Exception, config: NodeConfig, data_directory: Path) -> str:
    """What to tell the operator."""
    if isinstance(error, StreamlogError):
        return error.message
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.EADDRINUSE:
        return f"the address {_address(error, config)} is in use by another process"
    if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return f"the address {_address(error, config)} can not be bound: {error.strerror}"
    if error.errno == errno.EAGAIN:
        return f"the data directory {data_directory} is in use by another process"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
        where = error.filename or data_directory
        return f"can not write in the data directory {data_directory}: {error.strerror} ({where})"
    return f"{error.strerror or error} ({error.filename or data_directory})"


def _address(error: OSError, config: NodeConfig) -> str:
    """The address that could not be bound, and the setting when it is not the first one."""
    if not isinstance(error.filename, str) or error.filename == config.bind:
        return config.bind
    if error.filename == config.operations_bind:
        return f"{error.filename} (operations.bind)"
    return f"{error.filename} (peer.port)"
