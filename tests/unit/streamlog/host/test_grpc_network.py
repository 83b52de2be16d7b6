"""The real network keeps the promises of `replication.ports`, over real sockets.

Every test runs once with gRPC for all, and with direct connections for the streams, which is what
the name of the service decides; on the loop that nodes have and on asyncio's own.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from replication.ports import (
    CallFailed,
    Channel,
    ClientStream,
    Listener,
    Network,
    ServerStream,
    Service,
    StatusCode,
)
from streamlog.host import grpc_options, peer_client, peer_server
from streamlog.host.network import GrpcNetwork

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")

LIMIT = 1 << 20
PATIENCE_S = 60
"""Far more than anything here takes on a busy machine."""
PATIENCE_MS = PATIENCE_S * 1_000


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for some seconds does not make nodes give each other up."""
    monkeypatch.setattr(grpc_options, "CONNECT_TIMEOUT_MS", PATIENCE_MS)
    monkeypatch.setattr(peer_client, "CONNECT_TIMEOUT_MS", PATIENCE_MS)
    monkeypatch.setattr(peer_client, "DIRECT_TIMEOUT_MS", PATIENCE_MS)
    monkeypatch.setattr(peer_server, "PREFACE_TIMEOUT_MS", PATIENCE_MS)


class Recorder:
    """What handlers saw."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()
        self.received: list[bytes | CallFailed | None] = []
        self.go_on = asyncio.Event()


async def _reversed(request: bytes) -> bytes:
    return request[::-1]


async def _refused(request: bytes) -> bytes:
    raise CallFailed(StatusCode.FAILED_PRECONDITION, request.decode(), b"\x08\x09details")


async def _defect(_request: bytes) -> bytes:
    secret = "a secret in a traceback"
    raise KeyError(secret)


async def _echo(stream: ServerStream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


@asynccontextmanager
async def serving(recorder: Recorder, name: str) -> AsyncIterator[tuple[Listener, Channel]]:
    async def hang(request: bytes) -> bytes:
        recorder.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            recorder.cancelled.set()
            raise
        return request

    async def hang_stream(stream: ServerStream) -> None:
        recorder.entered.set()
        try:
            while True:
                recorder.received.append(await stream.receive())
                if recorder.received[-1] is None:
                    await asyncio.Event().wait()
        except asyncio.CancelledError:
            recorder.cancelled.set()
            raise
        except CallFailed as failure:
            recorder.received.append(failure)
            recorder.cancelled.set()
            raise

    async def slow(stream: ServerStream) -> None:
        await recorder.go_on.wait()
        await _echo(stream)

    async def burst(stream: ServerStream) -> None:
        for number in range(100):
            await stream.send(b"%d" % number)

    async def burst_refused(stream: ServerStream) -> None:
        await burst(stream)
        raise CallFailed(StatusCode.OUT_OF_RANGE, "no more", b"\x08\x0bwhy")

    async def stream_defect(stream: ServerStream) -> None:
        await stream.receive()
        await _defect(b"")

    service = Service(
        name,
        {"Reverse": _reversed, "Refuse": _refused, "Fail": _defect, "Hang": hang},
        {
            "Echo": _echo,
            "Hang": hang_stream,
            "Slow": slow,
            "Burst": burst,
            "BurstRefused": burst_refused,
            "Fail": stream_defect,
        },
    )
    # Two services share the port, and a method name.
    other = Service("test.Other", {"Reverse": lambda request: _reversed(b"other" + request)}, {})
    network: Network = GrpcNetwork(message_bytes_max=LIMIT)
    listener = await network.listen("127.0.0.1:0", [service, other])
    channel = network.connect(listener.address)
    try:
        yield listener, channel
    finally:
        await channel.close()
        await listener.close(0)


@pytest.fixture(params=[uvloop.EventLoopPolicy, asyncio.DefaultEventLoopPolicy], scope="module")
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """What pytest-asyncio takes the loop of each test from."""
    policy = request.param()
    assert isinstance(policy, asyncio.AbstractEventLoopPolicy)
    return policy


@pytest.fixture(params=["test.Test", "replication.v1.PeerService"], ids=["grpc", "direct"])
def name(request: pytest.FixtureRequest) -> str:
    """Of the service under test."""
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def server(recorder: Recorder, name: str) -> AsyncIterator[tuple[Listener, Channel]]:
    async with serving(recorder, name) as pair:
        yield pair


@pytest.fixture
def channel(server: tuple[Listener, Channel]) -> Channel:
    return server[1]


async def all_of(stream: ClientStream) -> list[bytes]:
    messages = []
    while (message := await stream.receive()) is not None:
        messages.append(message)
    return messages


async def failure_of(attempt: Awaitable[object]) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await asyncio.wait_for(attempt, PATIENCE_S)
    return caught.value


async def test_unary(channel: Channel, name: str) -> None:
    """Bytes go to the handler of the service that was named, and bytes come back."""
    assert await channel.unary(f"/{name}/Reverse", b"abc", PATIENCE_MS) == b"cba"
    assert await channel.unary("/test.Other/Reverse", b"abc", PATIENCE_MS) == b"cbarehto"
    assert await channel.unary(f"/{name}/Reverse", b"", PATIENCE_MS) == b""


async def test_a_failure_carries_code_message_and_details(channel: Channel, name: str) -> None:
    """What a handler raises arrives whole, from unary calls and from streams."""
    failure = await failure_of(channel.unary(f"/{name}/Refuse", "väl".encode(), PATIENCE_MS))
    assert failure.code is StatusCode.FAILED_PRECONDITION
    assert failure.message == "väl"
    assert failure.details == b"\x08\x09details"
    stream = channel.stream(f"/{name}/BurstRefused")
    for number in range(100):
        assert await stream.receive() == b"%d" % number
    failure = await failure_of(stream.receive())
    assert (failure.code, failure.details) == (StatusCode.OUT_OF_RANGE, b"\x08\x0bwhy")


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_defect_is_logged_and_not_told(
    channel: Channel, caplog: pytest.LogCaptureFixture, streaming: bool, name: str
) -> None:
    """An unexpected exception is INTERNAL for the client, and an event with its traceback in
    the log; the server lives on."""
    with caplog.at_level(logging.ERROR, "streamlog.host"):
        if streaming:
            stream = channel.stream(f"/{name}/Fail")
            await stream.send(b"x")
            failure = await failure_of(stream.receive())
        else:
            failure = await failure_of(channel.unary(f"/{name}/Fail", b"", PATIENCE_MS))
    assert failure.code is StatusCode.INTERNAL
    assert "secret" not in str(failure)
    (record,) = (each for each in caplog.records if each.name.startswith("streamlog.host"))
    assert record.getMessage() == "call_failed_unexpectedly"
    assert record.exc_info is not None
    assert await channel.unary(f"/{name}/Reverse", b"ab", PATIENCE_MS) == b"ba"


async def test_unknown_methods_are_unimplemented(channel: Channel, name: str) -> None:
    """Neither an unknown service nor an unknown method reaches a handler."""
    for method in (f"/{name}/Nothing", "/test.None/Reverse"):
        failure = await failure_of(channel.unary(method, b"", PATIENCE_MS))
        assert failure.code is StatusCode.UNIMPLEMENTED
        failure = await failure_of(channel.stream(method).receive())
        assert failure.code is StatusCode.UNIMPLEMENTED


async def test_stream_both_ways(channel: Channel, name: str) -> None:
    """Messages come back in order, and the half-close ends the call with OK."""
    stream = channel.stream(f"/{name}/Echo")
    for number in range(50):
        await stream.send(b"%d" % number)
    await stream.done_sending()
    assert await all_of(stream) == [b"%d" % number for number in range(50)]


async def test_messages_outlive_the_end_of_the_call(channel: Channel, name: str) -> None:
    """What the server sent before it ended the call is received, however late one looks."""
    stream = channel.stream(f"/{name}/Burst")
    assert await stream.receive() == b"0"
    await asyncio.sleep(0.1)
    assert await all_of(stream) == [b"%d" % number for number in range(1, 100)]
    failure = await failure_of(stream.send(b"too late"))
    assert failure.code is StatusCode.CANCELLED


async def test_a_slow_reader_holds_its_sender_back(
    channel: Channel, recorder: Recorder, name: str
) -> None:
    """While nobody receives, sends come to wait, with little more than a window under way; when
    reading begins, everything arrives."""
    stream = channel.stream(f"/{name}/Slow")
    message = bytes(LIMIT // 4)
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        for _ in range(200):
            await stream.send(message)
            sent += 1
        await stream.done_sending()

    sending = asyncio.ensure_future(send_all())
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 100, "50 MB were taken although nobody reads"
    recorder.go_on.set()
    assert len(await all_of(stream)) == 200
    await sending


async def test_a_wait_for_a_message_may_be_given_up(
    channel: Channel, recorder: Recorder, name: str
) -> None:
    """A cancelled receive cancels its task, not more: the call fails, the channel lives on."""
    stream = channel.stream(f"/{name}/Slow")
    await stream.send(b"first")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.receive(), 0.01)
    recorder.go_on.set()
    assert (await failure_of(stream.receive())).code is StatusCode.CANCELLED
    stream = channel.stream(f"/{name}/Echo")
    await stream.send(b"second")
    assert await stream.receive() == b"second"
    stream.cancel()


async def test_the_handler_of_a_call_that_is_given_up_is_cancelled(
    channel: Channel, recorder: Recorder, name: str
) -> None:
    """Cancelling the task that waits in a unary call cancels its handler."""
    calling = asyncio.ensure_future(channel.unary(f"/{name}/Hang", b"", PATIENCE_MS))
    await recorder.entered.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await asyncio.wait_for(recorder.cancelled.wait(), PATIENCE_S)


async def test_cancelling_a_stream(channel: Channel, recorder: Recorder, name: str) -> None:
    """The handler is cancelled; here, waiting and later operations fail with CANCELLED instead
    of pretending that the task was cancelled."""
    stream = channel.stream(f"/{name}/Hang")
    await stream.send(b"x")
    await recorder.entered.wait()
    receiving = asyncio.ensure_future(stream.receive())
    await asyncio.sleep(0)
    stream.cancel()
    stream.cancel()
    assert (await failure_of(receiving)).code is StatusCode.CANCELLED
    assert (await failure_of(stream.receive())).code is StatusCode.CANCELLED
    assert (await failure_of(stream.send(b"y"))).code is StatusCode.CANCELLED
    await asyncio.wait_for(recorder.cancelled.wait(), PATIENCE_S)


async def test_a_deadline(channel: Channel, recorder: Recorder, name: str) -> None:
    """A unary call ends when its time is up, for both sides."""
    for timeout_ms in (50, 500, 5_000, 50_000):
        failure = await failure_of(channel.unary(f"/{name}/Hang", b"", timeout_ms))
        assert failure.code is StatusCode.DEADLINE_EXCEEDED
        if recorder.entered.is_set():
            break  # On a busy machine the time may be up before the call is there.
    await asyncio.wait_for(recorder.cancelled.wait(), PATIENCE_S)


async def test_closing_the_channel_ends_its_calls(
    server: tuple[Listener, Channel], recorder: Recorder, name: str
) -> None:
    """Calls under way, and new ones, fail with CANCELLED."""
    listener, _ = server
    channel = GrpcNetwork().connect(listener.address)
    stream = channel.stream(f"/{name}/Hang")
    await stream.send(b"x")
    await recorder.entered.wait()
    waiting = [
        asyncio.ensure_future(stream.receive()),
        asyncio.ensure_future(channel.unary(f"/{name}/Hang", b"", PATIENCE_MS)),
    ]
    await asyncio.sleep(0.05)
    await channel.close()
    for call in waiting:
        assert (await failure_of(call)).code is StatusCode.CANCELLED
    assert (await failure_of(channel.unary(f"/{name}/Hang", b"", 100))).code is (
        StatusCode.CANCELLED
    )
    with pytest.raises(CallFailed):
        channel.stream(f"/{name}/Hang")


async def test_nobody_listens(name: str) -> None:
    """A refused connection is UNAVAILABLE, at once."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        channel = GrpcNetwork().connect(f"127.0.0.1:{unused.getsockname()[1]}")
        failure = await failure_of(channel.unary(f"/{name}/Reverse", b"", PATIENCE_MS))
        assert failure.code is StatusCode.UNAVAILABLE
        stream = channel.stream(f"/{name}/Echo")
        assert (await failure_of(stream.send(b"x"))).code is StatusCode.UNAVAILABLE
        assert (await failure_of(stream.receive())).code is StatusCode.UNAVAILABLE
        await channel.close()


async def test_a_server_that_went_away_is_found_again(recorder: Recorder, name: str) -> None:
    """Streams break with UNAVAILABLE, the handlers are cancelled, and the same channel reaches a
    server that comes back on the port."""
    network = GrpcNetwork()
    async with serving(recorder, name) as (listener, _):
        channel = network.connect(listener.address)
        stream = channel.stream(f"/{name}/Hang")
        await stream.send(b"x")
        await recorder.entered.wait()
        await listener.close(0)
        assert (await failure_of(stream.receive())).code in {
            StatusCode.UNAVAILABLE,
            StatusCode.CANCELLED,
        }
        await asyncio.wait_for(recorder.cancelled.wait(), PATIENCE_S)
        failure = await failure_of(channel.unary(f"/{name}/Reverse", b"", PATIENCE_MS))
        assert failure.code is StatusCode.UNAVAILABLE
        again = await network.listen(listener.address, [Service(name, {"Reverse": _reversed}, {})])
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert await channel.unary(f"/{name}/Reverse", b"ab", PATIENCE_MS) == b"ba"
                    break
                except CallFailed:
                    await asyncio.sleep(0.05)
        await channel.close()
        await again.close(0)


async def test_a_port_in_use(name: str) -> None:
    """The second listener gets EADDRINUSE with the address; the first one goes on."""
    network = GrpcNetwork()
    service = Service(name, {"Reverse": _reversed}, {})
    listener = await network.listen("127.0.0.1:0", [service])
    for attempt in (network, GrpcNetwork()):
        with pytest.raises(OSError, match=listener.address) as caught:
            await attempt.listen(listener.address, [service])
        assert caught.value.errno == errno.EADDRINUSE
    channel = network.connect(listener.address)
    assert await channel.unary(f"/{name}/Reverse", b"ab", PATIENCE_MS) == b"ba"
    await channel.close()
    await listener.close(0)
    again = await network.listen(listener.address, [service])
    await again.close(0)


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("127.0.0.1", errno.EINVAL),
        (":1", errno.EINVAL),
        ("127.0.0.1:70000", errno.EINVAL),
        ("192.0.2.1:0", errno.EADDRNOTAVAIL),
        ("no-such-host.invalid:0", errno.EADDRNOTAVAIL),
    ],
)
async def test_addresses_that_can_not_be_bound(address: str, number: int) -> None:
    """Each has its errno and names the address."""
    with pytest.raises(OSError, match=address) as caught:
        await GrpcNetwork().listen(address, [])
    assert caught.value.errno == number


async def test_a_message_over_the_limit(server: tuple[Listener, Channel], name: str) -> None:
    """Either way it is RESOURCE_EXHAUSTED with the limit, and the server goes on; a message of
    exactly the limit passes."""
    listener, channel = server
    assert len(await channel.unary(f"/{name}/Reverse", bytes(LIMIT), PATIENCE_MS)) == LIMIT
    generous = GrpcNetwork(message_bytes_max=8 * LIMIT).connect(listener.address)
    for sender in (channel, generous):
        failure = await failure_of(sender.unary(f"/{name}/Reverse", bytes(2 * LIMIT), PATIENCE_MS))
        assert failure.code is StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in failure.message
    stream = generous.stream(f"/{name}/Echo")

    async def talk() -> None:
        await stream.send(bytes(2 * LIMIT))  # The refusal may be there before it has left.
        await stream.receive()

    assert (await failure_of(talk())).code is StatusCode.RESOURCE_EXHAUSTED
    assert await channel.unary(f"/{name}/Reverse", b"ab", PATIENCE_MS) == b"ba"
    await generous.close()


async def test_long_texts_do_not_break_the_trailers(channel: Channel, name: str) -> None:
    """A status message of any length arrives, cut, with its code."""
    failure = await failure_of(channel.unary(f"/{name}/Refuse", b"x" * 100_000, PATIENCE_MS))
    assert failure.code is StatusCode.FAILED_PRECONDITION
    assert failure.message == "x" * 2_000


async def test_a_handler_that_ends_early_ends_the_call(name: str) -> None:
    """Returning ends the call with OK though the client is not done; its sends then fail."""
    ended: list[str] = []

    async def one(stream: ServerStream) -> None:
        ended.append(repr(await stream.receive()))

    handlers: dict[str, Callable[[ServerStream], Awaitable[None]]] = {"One": one}
    network = GrpcNetwork()
    listener = await network.listen("127.0.0.1:0", [Service(name, {}, handlers)])
    channel = network.connect(listener.address)
    stream = channel.stream(f"/{name}/One")
    await stream.send(b"1")
    assert await stream.receive() is None
    assert (await failure_of(stream.send(b"2"))).code is StatusCode.CANCELLED
    await stream.done_sending()
    await channel.close()
    await listener.close(0)
    assert ended == ["b'1'"]
