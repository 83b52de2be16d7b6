"""gRPC ignores an option whose name it does not know, in silence."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from streamlog.client.connections.grpc_transport import CHANNEL_OPTIONS
from streamlog.host.grpc_options import channel_options, server_options

NAMES = sorted({name for name, _ in (*CHANNEL_OPTIONS, *channel_options(1), *server_options(1))})


@pytest.fixture(scope="module")
def library() -> bytes:
    (path,) = Path(grpc.__file__).parent.glob("_cython/cygrpc*.so")
    return path.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_option_exists(name: str, library: bytes) -> None:
    """A misspelt option once let nodes hang up on idle clients for pinging too often."""
    assert name.encode() + b"\0" in library
