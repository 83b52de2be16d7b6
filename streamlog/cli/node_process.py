"""One node on the real ports, from its start to its end, and what its end is called."""

from __future__ import annotations

import asyncio
import errno
import logging
import random
from pathlib import Path

from replication.errors import ReplicationError
from replication.ports import CallFailed, Ports
from streamlog.host.clock import RealClock
from streamlog.host.disk import RealDisk
from streamlog.host.network import GrpcNetwork
from streamlog.host.process import freeze_heap
from streamlog.model.errors import StreamlogError
from streamlog.model.settings.node import NodeConfig
from streamlog.server.node import Node, build_node
from streamlog.storage.identity import IdentityRefused

_LOG = logging.getLogger(__name__)


class NodeEnded(Exception):
    """The node could not start, or could not go on; the message says why, for people."""


async def serve(config: NodeConfig, data_directory: Path, stop: asyncio.Event) -> None:
    """Run a node until `stop`. Raises NodeEnded."""
    disk = RealDisk(data_directory)
    ports = Ports(
        clock=RealClock(),
        disk=disk,
        network=GrpcNetwork(message_bytes_max=config.message_bytes, peer_port=config.peer_port),
        random=random.Random(),
    )
    node = build_node(config, ports)
    try:
        await _run(node, stop)
    except (OSError, StreamlogError, ReplicationError, IdentityRefused, CallFailed) as error:
        raise NodeEnded(reason_of(error, config, data_directory)) from error
    except Exception as error:
        _LOG.exception("node_defect")
        raise NodeEnded(f"a defect of the node, see its log: {error!r}") from error
    finally:
        await disk.close()


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
    """The address that could not be bound, and the setting when it is the second one."""
    direct = isinstance(error.filename, str) and error.filename != config.bind
    return f"{error.filename} (peer.port)" if direct else config.bind
