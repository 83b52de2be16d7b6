"""Server reflection: what `grpcurl` and its kind ask for to speak to a node without its protos.

Served under both names of the protocol, whose messages are the same on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection, reflection_pb2

from replication.ports import CallFailed, ServerStream, Service, StatusCode

SERVICE_NAMES = (
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)


class Reflection:
    """Answers for the services that are public."""

    def __init__(self, services: Sequence[str]) -> None:
        """`services`: full names; their descriptors must be in protobuf's default pool."""
        self._answers = reflection.ReflectionServicer(services)

    def services(self) -> Sequence[Service]:
        """To be listened to."""
        return [Service(name, {}, {"ServerReflectionInfo": self._info}) for name in SERVICE_NAMES]

    async def _info(self, stream: ServerStream) -> None:
        while (data := await stream.receive()) is not None:
            try:
                request = reflection_pb2.ServerReflectionRequest.FromString(data)
            except DecodeError as error:
                raise CallFailed(
                    StatusCode.INVALID_ARGUMENT, "not a ServerReflectionRequest"
                ) from error
            for answer in self._answers.ServerReflectionInfo(iter((request,)), None):
                await stream.send(answer.SerializeToString())
