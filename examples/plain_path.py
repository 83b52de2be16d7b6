"""Publish and subscribe with nothing but gRPC and the generated messages.

This is what a program in any other language does: no routing, batching, compression or checksum
of its own, and any node will do. `grpc_tools.protoc --grpc_python_out` generates the methods that
are written out here.

Usage: python -m examples.plain_path [--bootstrap HOST:PORT]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc

from examples.target import bootstrap, make_topic
from streamlog.v1.log_service_pb2 import OFFSET_SPEC_EARLIEST
from streamlog.v1.record_service_pb2 import (
    PublishRecord,
    PublishRequest,
    PublishResponse,
    SubscribeRequest,
    SubscribeResponse,
)

SERVICE = "/streamlog.v1.RecordService/"
TOPIC = "example-plain-path"
TIMEOUT_S = 30


def publish(channel: grpc.Channel) -> None:
    """Three records in one call; each has a result of its own."""
    call: Callable[..., PublishResponse] = channel.unary_unary(
        f"{SERVICE}Publish", PublishRequest.SerializeToString, PublishResponse.FromString
    )
    records = [
        PublishRecord(id=1, key=b"bike-1", value=b"out"),
        PublishRecord(id=2, key=b"bike-2", value=b"out"),
        PublishRecord(id=3, key=b"bike-1", value=b"back"),
    ]
    for result in call(PublishRequest(topic=TOPIC, records=records), timeout=TIMEOUT_S).results:
        if result.HasField("error"):
            again = "it may be stored all the same" if result.error.indefinite else "not stored"
            print(f"record {result.id}: {result.error.reason}, {again}: {result.error.message}")
        else:
            print(f"record {result.id}: partition {result.partition}, offset {result.offset}")


def subscribe(channel: grpc.Channel) -> None:
    """Everything there is, from the start to what is the end now."""
    call: Callable[..., Iterator[SubscribeResponse]] = channel.unary_stream(
        f"{SERVICE}Subscribe", SubscribeRequest.SerializeToString, SubscribeResponse.FromString
    )
    request = SubscribeRequest(topic=TOPIC, start=OFFSET_SPEC_EARLIEST, until_end=True)
    for answer in call(request, timeout=TIMEOUT_S):
        for record in answer.records:
            offset = answer.base_offset + record.offset_delta
            print(f"{answer.partition}/{offset}: {record.key.decode()} {record.value.decode()}")


def main() -> None:
    """Write, then read."""
    addresses = bootstrap(__doc__)
    make_topic(addresses, TOPIC, partitions=2)
    with grpc.insecure_channel(addresses.partition(",")[0]) as channel:
        publish(channel)
        subscribe(channel)


if __name__ == "__main__":
    main()
