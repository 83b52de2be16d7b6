"""Health and reflection as the stock clients of gRPC ask for them, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from streamlog.host.network import GrpcNetwork
from streamlog.server.health import Health
from streamlog.server.reflection import Reflection
from streamlog.v1 import admin_service_pb2, log_service_pb2

SERVICES = ("streamlog.v1.LogService", "streamlog.v1.AdminService")
Status = health_pb2.HealthCheckResponse


@pytest.fixture
def health() -> Health:
    return Health(SERVICES)


@pytest.fixture
async def channel(health: Health) -> AsyncIterator[grpc.aio.Channel]:
    listener = await GrpcNetwork().listen(
        "127.0.0.1:0", [health.service(), *Reflection(SERVICES).services()]
    )
    async with grpc.aio.insecure_channel(listener.address) as channel:
        yield channel
    await listener.close(0)


async def test_check(channel: grpc.aio.Channel, health: Health) -> None:
    """The node and its services are NOT_SERVING until they are; others are NOT_FOUND."""
    stub = health_pb2_grpc.HealthStub(channel)
    for serving, status in ((None, Status.NOT_SERVING), (True, Status.SERVING)):
        if serving is not None:
            health.set_serving(serving)
        for name in ("", *SERVICES):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == status
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="unknown"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_malformed_requests(channel: grpc.aio.Channel) -> None:
    """Bytes that are no message are INVALID_ARGUMENT."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=bytes,
            response_deserializer=Status.FromString,
        )(b"\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_watch(channel: grpc.aio.Channel, health: Health) -> None:
    """A watcher gets the status at once and after each change; an unknown service is
    SERVICE_UNKNOWN."""
    stub = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]))
    seen = [(await watch.read()).status]
    for serving in (True, True, False):
        health.set_serving(serving)
        if serving != (seen[-1] == Status.SERVING):
            seen.append((await asyncio.wait_for(watch.read(), 60)).status)
    assert seen == [Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]
    watch.cancel()
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="unknown"))
    assert (await unknown.read()).status == Status.SERVICE_UNKNOWN
    unknown.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection(channel: grpc.aio.Channel, version: str) -> None:
    """A client that knows nothing finds the services, and can build every message they use."""
    if version == "v1alpha":
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
    else:
        call = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = (await call.read()).list_services_response.service
    assert sorted(service.name for service in listed) == sorted(SERVICES)
    expected = {
        service.full_name: service
        for module in (log_service_pb2, admin_service_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    for name in SERVICES:
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
        files = (await call.read()).file_descriptor_response.file_descriptor_proto
        pool = DescriptorPool()
        waiting = [FileDescriptorProto.FromString(data) for data in files]
        known: set[str] = set()
        while waiting:
            file = next(file for file in waiting if known.issuperset(file.dependency))
            pool.Add(file)
            known.add(file.name)
            waiting.remove(file)
        found = pool.FindServiceByName(name)
        assert [method.name for method in found.methods] == [
            method.name for method in expected[name].methods
        ]
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such"))
    assert (await call.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
