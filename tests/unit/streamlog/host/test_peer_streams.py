"""Direct streams: bounds, bad peers, mixed versions and losses, which gRPC takes care of otherwise.

The contract that both ways share is in test_grpc_network.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop

from replication.ports import CallFailed, ClientStream, ServerStream, Service, StatusCode
from replication.v1 import peer_service_pb2 as pb
from streamlog.host import grpc_options, grpc_server, peer_client, peer_protocol, peer_server
from streamlog.host.network import GrpcNetwork
from streamlog.host.peer_client import SERVICE, ClientConnection, PeerChannel
from streamlog.host.peer_frames import (
    SERVER_PREFACE,
    FrameType,
    client_preface,
    end_frame,
    frame_header,
)

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")

LIMIT = 4 << 20
PATIENCE_S = 60
"""Far more than anything here takes on a busy machine."""
ECHO = f"/{SERVICE}/Echo"
STUCK = f"/{SERVICE}/Stuck"
Handler = Callable[[ServerStream], Awaitable[None]]


@pytest.fixture(params=[uvloop.EventLoopPolicy, asyncio.DefaultEventLoopPolicy], scope="module")
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """What pytest-asyncio takes the loop of each test from."""
    policy = request.param()
    assert isinstance(policy, asyncio.AbstractEventLoopPolicy)
    return policy


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for some seconds does not make nodes give each other up."""
    monkeypatch.setattr(grpc_options, "CONNECT_TIMEOUT_MS", PATIENCE_S * 1_000)
    monkeypatch.setattr(peer_client, "CONNECT_TIMEOUT_MS", PATIENCE_S * 1_000)
    monkeypatch.setattr(peer_client, "DIRECT_TIMEOUT_MS", PATIENCE_S * 1_000)
    monkeypatch.setattr(peer_server, "PREFACE_TIMEOUT_MS", PATIENCE_S * 1_000)


class Node:
    """A listening network, what its handlers saw, and a channel to it."""

    def __init__(self, network: GrpcNetwork) -> None:
        self.network = network
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.address = ""
        self.channel: PeerChannel

    def service(self) -> Service:
        return Service(SERVICE, {}, {"Echo": self._echo, "Stuck": self._stuck})

    async def port(self) -> int:
        """Of direct streams."""
        answer = await self.channel.unary(f"/{SERVICE}/PeerEndpoint", b"", PATIENCE_S * 1_000)
        return pb.PeerEndpointResponse.FromString(answer).port

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to the direct port that no client of ours has opened."""
        reader, writer = await asyncio.open_connection("127.0.0.1", await self.port())
        try:
            yield reader, writer
        finally:
            await closed(writer)

    async def works(self) -> bool:
        """A new direct stream does its work."""
        stream = self.channel.stream(ECHO)
        await stream.send(b"still here")
        answer = await asyncio.wait_for(stream.receive(), PATIENCE_S)
        direct = len(self.channel._connections) > 0
        stream.cancel()
        return answer == b"still here" and direct

    async def _echo(self, stream: ServerStream) -> None:
        while (message := await stream.receive()) is not None:
            await stream.send(message)

    async def _stuck(self, stream: ServerStream) -> None:
        """Receives only when told; says how it ended."""
        self.entered.set()
        try:
            await self.go_on.wait()
            while await stream.receive() is not None:
                pass
            self.ended.put_nowait("done")
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise


@asynccontextmanager
async def running(network: GrpcNetwork | None = None) -> AsyncIterator[Node]:
    node = Node(network or GrpcNetwork(message_bytes_max=LIMIT))
    listener = await node.network.listen("127.0.0.1:0", [node.service()])
    node.address = listener.address
    node.channel = node.network.connect(listener.address)
    try:
        yield node
    finally:
        await node.channel.close()
        await listener.close(0)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with running() as started:
        yield started


async def closed(writer: asyncio.StreamWriter) -> None:
    """The test's end of a connection is gone."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def failure_of(attempt: Awaitable[object]) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await asyncio.wait_for(attempt, PATIENCE_S)
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    """Look until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def all_bytes(reader: asyncio.StreamReader) -> bytes:
    """Until the other end closes, or resets."""
    got = b""
    try:
        while data := await asyncio.wait_for(reader.read(1 << 16), PATIENCE_S):
            got += data
    except ConnectionError:
        pass
    return got


# -- the way -------------------------------------------------------------------------------------


async def test_streams_are_direct_and_the_rest_is_not(node: Node) -> None:
    """A stream of the peer service has a connection of its own; other services go over gRPC."""
    assert await node.port() > 0
    assert await node.works()
    failure = await failure_of(node.channel.stream("/test.Other/Echo").receive())
    assert failure.code is StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("size", [0, 1, (16 << 10) - 1, 16 << 10, 300_001, LIMIT])
async def test_messages_of_every_size(node: Node, size: int) -> None:
    """From none to the largest, which arrives in many pieces, and again behind each other."""
    message = bytes(i % 251 for i in range(997)) * (size // 997 + 1)
    stream = node.channel.stream(ECHO)
    sending = asyncio.ensure_future(stream.send(message[:size]))
    assert await stream.receive() == message[:size]
    await sending
    await stream.send(b"small")
    assert await stream.receive() == b"small"
    await stream.done_sending()
    assert await stream.receive() is None


@pytest.mark.parametrize("side", ["caller", "called"])
async def test_a_node_without_direct_streams(side: str) -> None:
    """Between a node of before, or one that has them turned off, and a node of now: gRPC."""
    old, new = GrpcNetwork(peer_port=None), GrpcNetwork()
    async with running(old if side == "called" else new) as node:
        if side == "called":
            failure = await failure_of(node.port())
            assert failure.code is StatusCode.UNIMPLEMENTED
            channel = new.connect(node.address)
            stream = channel.stream(ECHO)
        else:
            channel = old.connect(node.address)
            stream = grpc_stream(channel, ECHO)
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        assert not channel._connections
        await stream.done_sending()
        assert await stream.receive() is None
        await channel.close()


def grpc_stream(channel: PeerChannel, method: str) -> ClientStream:
    """As a node opens it that knows nothing of direct streams."""
    return channel._grpc.stream(method)


@pytest.mark.parametrize("version", [0, 2])
async def test_another_version_of_the_protocol(version: int) -> None:
    """A direct listener that speaks another version is not even tried."""

    async def endpoint(_request: bytes) -> bytes:
        return pb.PeerEndpointResponse(port=1, version=version).SerializeToString()

    node = Node(GrpcNetwork())
    service = Service(SERVICE, {"PeerEndpoint": endpoint}, node.service().streams)
    listener = await grpc_server.listen("127.0.0.1:0", [service], LIMIT)
    channel = node.network.connect(listener.address)
    stream = channel.stream(ECHO)
    await stream.send(b"hello")
    assert await stream.receive() == b"hello"
    await channel.close()
    await listener.close(0)


async def test_a_direct_port_that_can_not_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    """The stream goes over gRPC, the log says so once, and later channels do not try again for
    a while."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def endpoint(_request: bytes) -> bytes:
            return pb.PeerEndpointResponse(port=port, version=1).SerializeToString()

        node = Node(GrpcNetwork())
        service = Service(SERVICE, {"PeerEndpoint": endpoint}, node.service().streams)
        listener = await grpc_server.listen("127.0.0.1:0", [service], LIMIT)
        with caplog.at_level(logging.WARNING, "streamlog.host"):
            for _ in range(2):
                channel = node.network.connect(listener.address)
                stream = channel.stream(ECHO)
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
                await channel.close()
        await listener.close(0)
    assert [r.getMessage() for r in caplog.records if r.name != "asyncio"] == [
        "peer_direct_unreachable"
    ]


async def test_a_restarted_peer_is_found_on_its_new_port() -> None:
    """One channel outlives the peer: the port it knew is gone, it asks again, and is direct."""
    async with running() as node:
        assert await node.works()
        old_port = await node.port()
    again = Node(GrpcNetwork(message_bytes_max=LIMIT))
    with socket.socket() as squatter:
        # Whoever took the old port is not a peer.
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", old_port))
        listener = await again.network.listen(node.address, [again.service()])
        channel = again.channel = node.network.connect(node.address)
        channel._port = old_port
        assert await again.works()
        assert channel._port == await again.port() != old_port
    await channel.close()
    await listener.close(0)


async def test_the_direct_port_may_be_in_use() -> None:
    """EADDRINUSE with that address and the setting; the public port is free again."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        service = Node(GrpcNetwork()).service()
        with pytest.raises(OSError, match=r"peer\.port") as caught:
            await GrpcNetwork(peer_port=taken).listen("127.0.0.1:0", [service])
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.filename == f"127.0.0.1:{taken}"


async def test_the_direct_port_is_bound_where_bind_says() -> None:
    """On the host of the address alone, so that what keeps `bind` from the world keeps both;
    on every address of a name, with one port; and on the port that was asked for, again at once
    after a close."""
    async with running() as node:
        port = await node.port()
        with socket.socket() as elsewhere:
            elsewhere.settimeout(PATIENCE_S)
            with pytest.raises(ConnectionRefusedError):
                elsewhere.connect(("127.0.0.2", port))
        assert await node.works()
    for _ in range(2):
        async with running(GrpcNetwork(message_bytes_max=LIMIT, peer_port=port)) as node:
            assert await node.port() == port
            assert await node.works()


# -- bad peers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "begins with"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "begins with"),
        (bytes(1_000), "begins with"),
        (SERVER_PREFACE[:-1] + b"\x09", "version 9"),
        (SERVER_PREFACE + b"\x00", "ASCII"),
        (SERVER_PREFACE + b"\x02\xc3\xa4", "ASCII"),
        (client_preface(ECHO) + b"\x00\x00\x00\x00\x07", "type 7"),
        (client_preface(ECHO) + b"\x01\x00\x00\x00\x02x", "type 2"),
        (client_preface(ECHO) + end_frame(None), "END"),
        (client_preface(ECHO) + 2 * frame_header(FrameType.HALF_CLOSE, 0), "HALF_CLOSE"),
    ],
)
async def test_what_no_peer_sends(
    node: Node, caplog: pytest.LogCaptureFixture, sent: bytes, reason: str
) -> None:
    """The connection is closed, the log says why, and the node goes on."""
    with caplog.at_level(logging.WARNING, "streamlog.host"):
        async with node.raw() as (reader, writer):
            writer.write(sent)
            assert len(await all_bytes(reader)) <= len(SERVER_PREFACE + end_frame(None))
    (record,) = (each for each in caplog.records if each.name == peer_server.__name__)
    assert record.getMessage() == "peer_stream_malformed"
    assert reason in record.__dict__["reason"]
    assert await node.works()


async def test_an_absurd_length(node: Node) -> None:
    """Is refused from its header, with the limit, before anything is kept for it; the handler is
    cancelled."""
    async with node.raw() as (reader, writer):
        writer.write(client_preface(STUCK))
        await asyncio.wait_for(node.entered.wait(), PATIENCE_S)
        writer.write(b"\xff\xff\xff\xff\x01")
        told = await asyncio.wait_for(reader.readuntil(b"larger than max"), PATIENCE_S)
        assert told[len(SERVER_PREFACE) + 5] == StatusCode.RESOURCE_EXHAUSTED
        assert await asyncio.wait_for(node.ended.get(), PATIENCE_S) == "cancelled"
    assert await node.works()


async def test_silence(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing, or half a preface, is closed after a time; a call that has
    begun may be silent."""
    waiting = node.channel.stream(STUCK)
    await waiting.send(b"x")
    await asyncio.wait_for(node.entered.wait(), PATIENCE_S)
    monkeypatch.setattr(peer_server, "PREFACE_TIMEOUT_MS", 50)
    for start in (b"", SERVER_PREFACE[:4], client_preface(ECHO)[:-1]):
        async with node.raw() as (reader, writer):
            writer.write(start)
            assert await all_bytes(reader) == b""
    await asyncio.sleep(0.1)
    node.go_on.set()
    await waiting.done_sending()
    assert await waiting.receive() is None


async def test_a_client_that_never_closes(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the status the server waits for a time, then closes; what comes meanwhile is nobody's,
    garbage included."""
    monkeypatch.setattr(peer_server, "LINGER_MS", 50)
    async with node.raw() as (reader, writer):
        writer.write(client_preface(ECHO) + frame_header(FrameType.HALF_CLOSE, 0))
        expected = SERVER_PREFACE + end_frame(None)
        assert await reader.readexactly(len(expected)) == expected
        writer.write(bytes(100_000))
        assert await all_bytes(reader) == b""


async def test_more_connections_than_allowed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many is told so; when another ends there is room again."""
    monkeypatch.setattr(peer_server, "STREAMS_MAX", 2)
    async with node.raw(), node.raw():
        failure = await failure_of(node.channel.stream(ECHO).receive())
        assert failure.code in {StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAVAILABLE}
    async with asyncio.timeout(PATIENCE_S):
        while True:  # The server sees that they are gone when it comes to it.
            with suppress(CallFailed):
                assert await node.works()
                break
            await asyncio.sleep(0.01)


async def test_a_server_that_is_none(caplog: pytest.LogCaptureFixture) -> None:
    """What answers on the direct port does not speak the protocol: the call fails, and the next
    one asks where to go again."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await closed(writer)

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with running() as node:
        node.channel._port = other.sockets[0].getsockname()[1]
        with caplog.at_level(logging.WARNING, "streamlog.host"):
            failure = await failure_of(node.channel.stream(ECHO).receive())
        assert failure.code is StatusCode.UNAVAILABLE
        assert "begins with" in failure.message
        assert await node.works()
    other.close()


# -- flow control --------------------------------------------------------------------------------


async def test_a_slow_reader_bounds_both_ends(node: Node) -> None:
    """While the handler does not receive, neither end holds more than its bound and one message
    beyond; the sender waits; afterwards everything arrives."""
    message = bytes(100_000)
    stream = node.channel.stream(STUCK)
    await stream.send(message)
    (client,) = node.channel._connections
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        for _ in range(500):
            await stream.send(message)
            sent += 1

    sending = asyncio.ensure_future(send_all())
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < 250
    transport = client._transport
    assert transport is not None
    slack = len(message) + 100
    assert transport.get_write_buffer_size() <= peer_protocol.UNSENT_BYTES_HIGH + slack
    node.go_on.set()
    await asyncio.wait_for(sending, PATIENCE_S)
    await stream.done_sending()
    assert await stream.receive() is None
    assert node.ended.get_nowait() == "done"


async def test_unread_messages_are_bounded(node: Node) -> None:
    """Reading stops at the bound of bytes or of messages, and goes on when half is received."""
    for size, count in ((50_000, 200), (1, 20_000)):
        stream = node.channel.stream(ECHO)

        async def send_all(stream: ClientStream, size: int, count: int) -> None:
            for _ in range(count):
                await stream.send(bytes(size))
            await stream.done_sending()

        sending = asyncio.ensure_future(send_all(stream, size, count))
        assert await stream.receive() == bytes(size)
        (client,) = node.channel._connections
        await until(lambda client=client: client._reading_paused)  # type: ignore[misc]
        await asyncio.sleep(0.1)
        assert client._reading_paused
        assert client._unread_bytes <= peer_protocol.UNREAD_BYTES_MAX + (1 << 19)
        received = 1
        while (await asyncio.wait_for(stream.receive(), PATIENCE_S)) is not None:
            received += 1
        assert received == count
        await sending
        await client.closed


# -- ends ----------------------------------------------------------------------------------------


async def test_the_connection_breaks_within_a_message(node: Node) -> None:
    """The half message is nobody's, and the handler is cancelled; without the half-close the end
    of the connection is not the end of the messages."""
    for rest in (b"", frame_header(FrameType.MESSAGE, 10) + b"half"):
        node.entered.clear()
        async with node.raw() as (_, writer):
            writer.write(client_preface(STUCK) + frame_header(FrameType.MESSAGE, 1) + b"x" + rest)
            await asyncio.wait_for(node.entered.wait(), PATIENCE_S)
        assert await asyncio.wait_for(node.ended.get(), PATIENCE_S) == "cancelled"


async def test_the_server_breaks_within_a_message() -> None:
    """What came whole is received, then the call fails with UNAVAILABLE."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(client_preface(ECHO)))
        whole = frame_header(FrameType.MESSAGE, 5) + b"whole"
        writer.write(SERVER_PREFACE + whole + frame_header(FrameType.MESSAGE, 5) + b"ha")
        await closed(writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with running() as node:
        node.channel._port = server.sockets[0].getsockname()[1]
        stream = node.channel.stream(ECHO)
        assert await stream.receive() == b"whole"
        for _ in range(2):
            failure = await failure_of(stream.receive())
            assert failure.code is StatusCode.UNAVAILABLE
        assert (await failure_of(stream.send(b"x"))).code is StatusCode.UNAVAILABLE
    server.close()


async def test_a_status_outlives_what_the_client_still_sends() -> None:
    """A handler that refuses a client in the middle of its sending is heard: no reset overtakes
    the status."""

    async def refuse(stream: ServerStream) -> None:
        await stream.receive()
        raise CallFailed(StatusCode.FAILED_PRECONDITION, "nö", b"details")

    network = GrpcNetwork(message_bytes_max=LIMIT)
    listener = await network.listen("127.0.0.1:0", [Service(SERVICE, {}, {"Refuse": refuse})])
    channel = network.connect(listener.address)
    stream = channel.stream(f"/{SERVICE}/Refuse")

    async def send_all() -> None:
        while True:
            await stream.send(bytes(200_000))

    sending = asyncio.ensure_future(send_all())
    for attempt in (sending, stream.receive()):
        failure = await failure_of(attempt)
        assert failure.code is StatusCode.FAILED_PRECONDITION
        assert (failure.message, failure.details) == ("nö", b"details")
    await channel.close()
    await listener.close(0)


async def test_a_call_may_be_given_up_before_it_has_a_way() -> None:
    """While the channel still asks where to go: by cancel, by a cancelled wait, by its close."""
    hold = asyncio.Event()

    async def endpoint(_request: bytes) -> bytes:
        await hold.wait()
        return b""

    listener = await grpc_server.listen(
        "127.0.0.1:0", [Service(SERVICE, {"PeerEndpoint": endpoint}, {})], LIMIT
    )
    channel = GrpcNetwork().connect(listener.address)
    cancelled, timed_out, closed = (channel.stream(ECHO) for _ in range(3))
    waiting = asyncio.ensure_future(cancelled.receive())
    await asyncio.sleep(0)
    cancelled.cancel()
    assert (await failure_of(waiting)).code is StatusCode.CANCELLED
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(timed_out.receive(), 0.02)
    assert (await failure_of(timed_out.send(b"x"))).code is StatusCode.CANCELLED
    waiting = asyncio.ensure_future(closed.receive())
    await asyncio.sleep(0)
    await channel.close()
    assert (await failure_of(waiting)).code is StatusCode.CANCELLED
    await listener.close(0)


@pytest.mark.parametrize("ends", [True, False])
async def test_the_listener_gives_handlers_their_grace(node: Node, *, ends: bool) -> None:
    """Those that end within it end well; those that do not are cancelled, and told."""
    listener = await node.network.listen("127.0.0.1:0", [node.service()])
    channel = node.network.connect(listener.address)
    stuck, echo = channel.stream(STUCK), channel.stream(ECHO)
    await stuck.send(b"x")
    await echo.send(b"x")
    assert await echo.receive() == b"x"
    await asyncio.wait_for(node.entered.wait(), PATIENCE_S)
    closing = asyncio.ensure_future(listener.close(PATIENCE_S * 1_000 if ends else 50))
    await asyncio.sleep(0.05)
    if ends:
        await echo.send(b"y")
        assert await echo.receive() == b"y"
        await echo.done_sending()
        assert await echo.receive() is None
        assert not closing.done()
        node.go_on.set()
        await stuck.done_sending()
        assert await stuck.receive() is None
    else:
        for stream in (stuck, echo):
            assert (await failure_of(stream.receive())).code is StatusCode.UNAVAILABLE
    await asyncio.wait_for(closing, PATIENCE_S / 2)
    assert node.ended.get_nowait() == ("done" if ends else "cancelled")
    await channel.close()


async def test_a_cancelled_handler_wait_is_not_the_end(node: Node) -> None:
    """A handler that waits with a timeout can still say why it ends."""

    async def impatient(stream: ServerStream) -> None:
        try:
            await asyncio.wait_for(stream.receive(), 0.02)
        except TimeoutError:
            raise CallFailed(StatusCode.DEADLINE_EXCEEDED, "nothing came") from None

    listener = await node.network.listen(
        "127.0.0.1:0", [Service(SERVICE, {}, {"Impatient": impatient})]
    )
    channel = node.network.connect(listener.address)
    failure = await failure_of(channel.stream(f"/{SERVICE}/Impatient").receive())
    assert (failure.code, failure.message) == (StatusCode.DEADLINE_EXCEEDED, "nothing came")
    await channel.close()
    await listener.close(0)


async def test_no_connection_is_left_behind(node: Node) -> None:
    """Calls that ended in any way leave nothing in the channel."""
    for _ in range(5):
        assert await node.works()
    stream = node.channel.stream(ECHO)
    await stream.done_sending()
    assert await stream.receive() is None
    failure = await failure_of(node.channel.stream(f"/{SERVICE}/None").receive())
    assert failure.code is StatusCode.UNIMPLEMENTED
    left: list[ClientConnection] = list(node.channel._connections)
    await asyncio.gather(*(connection.closed for connection in left))
    await asyncio.sleep(0)
    assert not node.channel._connections
    assert not node.channel._streams
