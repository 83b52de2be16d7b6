"""Independent clients with nothing but generated stubs, each one record at a time: one JSON object.

Usage: python -m benchmarks.clients.crowd BOOTSTRAP TOPIC RECORDS CLIENTS
Each client has a connection of its own, to one of the nodes in turn, with one PublishStream, and awaits
each result before it sends the next record.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import grpc
import grpc.aio

from benchmarks.events import json_events
from benchmarks.summary import percentile
from streamlog.v1.record_service_pb2 import PublishRecord, PublishRequest, PublishResponse

PUBLISH_STREAM = "/streamlog.v1.RecordService/PublishStream"


async def publish(bootstrap: str, topic: str, records: int, clients: int) -> dict[str, float]:
    """Rate over all clients, and latencies of single records."""
    addresses = bootstrap.split(",")
    values = json_events()
    each = records // clients
    latencies: list[float] = []

    async def client(number: int) -> None:
        address = addresses[number % len(addresses)]
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            stream: Any = channel.stream_stream(
                PUBLISH_STREAM,
                request_serializer=PublishRequest.SerializeToString,
                response_deserializer=PublishResponse.FromString,
            )()
            for count in range(each + 1):
                value = values[(number * each + count) % len(values)]
                begin = time.perf_counter()
                await stream.write(
                    PublishRequest(topic=topic, records=[PublishRecord(value=value)])
                )
                answer = await stream.read()
                if answer is grpc.aio.EOF or answer.results[0].HasField("error"):
                    raise SystemExit(f"not stored: {answer}")
                latencies.append(time.perf_counter() - begin)
                if count == 0:
                    await together.wait()  # the first one only connects
            await stream.done_writing()

    together = asyncio.Barrier(clients + 1)
    tasks = [asyncio.create_task(client(number)) for number in range(clients)]
    await together.wait()
    latencies.clear()
    begin, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*tasks)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    latencies.sort()
    return {
        "records": (each + 1) * clients,
        "records_per_s": each * clients / seconds,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
        "client_cpu_us": cpu / (each * clients) * 1e6,
    }


if __name__ == "__main__":
    where, name, amount, crowd = sys.argv[1:5]
    print(json.dumps(asyncio.run(publish(where, name, int(amount), int(crowd)))))
