"""Real node processes for tests: started as an operator does, on ports that are free."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from streamlog.cli.node.local_cluster import free_ports
from streamlog.v1 import admin_service_pb2 as admin
from streamlog.v1 import log_service_pb2 as log

WAIT_SECONDS = 120.0
"""For what takes a few on a machine that is not busy."""
Request = TypeVar("Request")


def free_addresses(count: int) -> list[str]:
    """Loopback addresses nobody listens on, ports consecutive."""
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, long enough for a slow machine."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT_SECONDS:.0f} s: {what}")
        time.sleep(0.05)


class NodeProcess:
    """One node."""

    def __init__(
        self,
        directory: Path,
        node_id: int,
        addresses: Sequence[str],
        *options: str,
        bootstrap: bool = True,
        controllers: int | None = None,
    ) -> None:
        """`controllers`: so many of the addresses are of controllers; default: all."""
        self.node_id = node_id
        self.address = addresses[node_id - 1]
        self.directory = directory / f"node-{node_id}"
        self.log = directory / f"node-{node_id}.log"
        voters = ",".join(f"{n}@{each}" for n, each in enumerate(addresses[:controllers], 1))
        self._command = [
            sys.executable,
            "-m",
            "streamlog.cli.main",
            "server",
            f"--data-dir={self.directory}",
            f"--node-id={node_id}",
            f"--bind={self.address}",
            f"--controllers={voters}",
            *(["--bootstrap"] if bootstrap else []),
            "--log-format=json",
            "--journal-file-bytes=1048576",
            *options,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; `until_healthy` waits for it."""
        with self.log.open("ab") as log_file:
            self.process = subprocess.Popen(self._command, stdout=log_file, stderr=log_file)

    def run_to_its_end(self) -> subprocess.CompletedProcess[str]:
        """For a start that must fail."""
        return subprocess.run(
            self._command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
        )

    def until_healthy(self) -> None:
        """Wait until the node serves."""

        def healthy() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            return self.serves()

        until(healthy, f"node {self.node_id} serves; its log:\n{self.log.read_text()}")

    def serves(self) -> bool:
        """What the health service says."""
        with grpc.insecure_channel(self.address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=2
                )
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def events(self) -> list[str]:
        """Names of the events in the log."""
        return [event["event"] for event in self.logged()]

    def until_told(self, *events: str) -> None:
        """Wait until the log has these events: it is written by a thread of its own."""
        until(lambda: {*events} <= {*self.events()}, f"node {self.node_id} tells of {events}")

    def logged(self) -> list[dict[str, Any]]:
        """The events; the last line may be there by half."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def call(self, method: str, request: Any, answer: type[Any]) -> Any:
        """A unary call of the public services, as generated stubs make it."""
        service = "AdminService" if hasattr(admin, type(request).__name__) else "LogService"
        with grpc.insecure_channel(self.address) as channel:
            call = channel.unary_unary(
                f"/streamlog.v1.{service}/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            return call(request, timeout=WAIT_SECONDS)

    def create_topic(self, name: str, partitions: int, replicas: int) -> Any:
        """The topic as created."""
        return self.call(
            "CreateTopic",
            admin.CreateTopicRequest(
                name=name, partition_count=partitions, replication_factor=replicas
            ),
            admin.CreateTopicResponse,
        ).topic

    def topics(self) -> list[str]:
        """Names."""
        answer = self.call("ListTopics", admin.ListTopicsRequest(), admin.ListTopicsResponse)
        return [topic.name for topic in answer.topics]

    def metadata(self) -> Any:
        """Everything the node knows."""
        return self.call(
            "GetMetadata", log.GetMetadataRequest(all_topics=True), log.GetMetadataResponse
        )


@contextmanager
def nodes(directory: Path, count: int, *options: str) -> Iterator[list[NodeProcess]]:
    """So many nodes of one cluster, not started; killed at the end."""
    addresses = free_addresses(count)
    made = [NodeProcess(directory, n, addresses, *options) for n in range(1, count + 1)]
    try:
        yield made
    finally:
        for node in made:
            node.kill()
