"""What the tests of the clients share: the cluster, what is written, the table of rates."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import grpc

from contract.toolchains import LANGUAGES
from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import ClientError
from streamlog.client.sync import Admin
from streamlog.v1.group_service_pb2 import (
    FetchOffsetsRequest,
    FetchOffsetsResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

Line = dict[str, Any]

NOBODY = "127.0.0.1:1"
"""A node that is gone."""
FIRST_MS = 1_700_000_000_000
WAIT_SECONDS_MAX = 120.0
PAUSE_S = 0.1
CALL_TIMEOUT_S = 10.0


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Look every 100 ms."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not done():
        assert time.monotonic() < deadline, f"after {WAIT_SECONDS_MAX:.0f} s: {what}"
        time.sleep(PAUSE_S)


def written_record(name: str, number: int) -> Line:
    """What examples/clients/README.md says of record `number` of the program `name`."""
    match number % 100:
        case 17:
            value: bytes | None = None
        case 18:
            value = b""
        case _:
            value = f"{name}:{number}:".encode().ljust(100, b"x")
    key = None if number % 10 == 9 else f"key-{number % 100}".encode()
    return {
        "timestamp_ms": FIRST_MS + number,
        "key": None if key is None else key.hex(),
        "value": None if value is None else value.hex(),
        "headers": [["writer", name.encode().hex()], ["none", None]] if number % 10 == 3 else [],
    }


def content(record: Line) -> tuple[object, ...]:
    """What of a printed record does not depend on where it was stored; comparable."""
    return (
        record["timestamp_ms"],
        record["key"],
        record["value"],
        *((name, value) for name, value in record["headers"]),
    )


class Cluster:
    """Three nodes, one of which may be killed at a time."""

    def __init__(self, directory: Path) -> None:
        self._nodes = LocalCluster(directory, nodes=3)
        self.bootstrap = f"{NOBODY},{self._nodes.bootstrap}"

    def __enter__(self) -> Self:
        try:
            asyncio.run(self._nodes.start())
        except BaseException:
            self._nodes.kill_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._nodes.kill_all()

    @property
    def addresses(self) -> list[str]:
        """Of the nodes."""
        return list(self._nodes.addresses.values())

    @property
    def nodes(self) -> Mapping[int, str]:
        """Their addresses by number."""
        return self._nodes.addresses

    def make_topic(self, name: str, partitions: int) -> None:
        """With three replicas; it is led when this returns."""
        with Admin(self._nodes.bootstrap) as admin:
            admin.create_topic(name, partitions=partitions, replication_factor=3)
        wait_until(lambda: all(self._leaders(name)), f"{name} has leaders")

    def _leaders(self, topic: str) -> list[int]:
        """By partition, 0 for nobody; all that is known now."""
        try:
            with Admin(self._nodes.bootstrap) as admin:
                return [each.leader_node_id for each in admin.describe_topic(topic).partitions]
        except ClientError:
            return [0]

    def topic_id(self, name: str) -> int:
        """Its identity."""
        with Admin(self._nodes.bootstrap) as admin:
            return admin.describe_topic(name).topic_id

    def kill_leader(self, topic: str, partition: int) -> int:
        """Returns the killed node, for `restart`."""
        leaders: list[int] = []

        def is_led() -> bool:
            leaders[:] = self._leaders(topic)
            return len(leaders) > partition and leaders[partition] != 0

        wait_until(is_led, "the partition has a leader")
        self._nodes.kill(leaders[partition])
        return leaders[partition]

    def coordinator(self, group: str) -> FindCoordinatorResponse:
        """Of a group; as any node that answers knows it."""
        for address in self.addresses:
            request = FindCoordinatorRequest(group=group).SerializeToString()
            try:
                data = _call(address, "FindCoordinator", request)
            except grpc.RpcError:
                continue
            found = FindCoordinatorResponse.FromString(data)
            if found.leader_node_id:
                return found
        return FindCoordinatorResponse()

    def await_coordinator(self, group: str) -> int:
        """The node that coordinates it, as soon as there is one."""
        found = FindCoordinatorResponse()

        def is_known() -> bool:
            nonlocal found
            found = self.coordinator(group)
            return found.leader_node_id != 0

        wait_until(is_known, f"{group} has a coordinator")
        return found.leader_node_id

    def kill(self, node: int) -> None:
        """SIGKILL."""
        self._nodes.kill(node)

    def restart(self, node: int) -> None:
        """Start a killed node, and wait until it serves."""
        asyncio.run(self._nodes.restart(node))

    def committed(self, group: str) -> dict[int, int]:
        """Positions of a group that reads one topic, by partition; none: no answer now."""
        address = self.coordinator(group).leader_address
        if not address:
            return {}
        try:
            data = _call(
                address, "FetchOffsets", FetchOffsetsRequest(group=group).SerializeToString()
            )
        except grpc.RpcError:
            return {}
        offsets = FetchOffsetsResponse.FromString(data).offsets
        return {each.partition: each.offset for each in offsets}


def _call(address: str, method: str, request: bytes) -> bytes:
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(f"/streamlog.v1.GroupService/{method}")
        answer = call(request, timeout=CALL_TIMEOUT_S)
    assert isinstance(answer, bytes)
    return answer


class Rates:
    """Records a second, by language and kind of work."""

    WORK = ("produce", "consume", "publish", "subscribe")

    def __init__(self) -> None:
        self._measured: dict[tuple[str, str], float] = {}

    def add(self, language: str, work: str, per_second: float) -> None:
        """What a program printed."""
        self._measured[language, work] = per_second

    def table(self) -> str:
        """Markdown; empty when nothing was measured."""
        rows = [self._row(each.name, each.title) for each in LANGUAGES]
        found = [row for row in rows if row]
        if not found:
            return ""
        head = (
            "| records/s | produce (zstd, idempotent) | consume | publish (plain path)"
            " | subscribe (plain path) |\n|---|---|---|---|---|\n"
        )
        return head + "\n".join(found) + "\n"

    def _row(self, name: str, title: str) -> str:
        cells = [self._measured.get((name, work)) for work in self.WORK]
        if not any(cells):
            return ""
        texts = ("" if cell is None else f"{cell:,.0f}" for cell in cells)
        return f"| {title} | {' | '.join(texts)} |"


def missing_numbers(
    found: Iterable[tuple[object, ...]], name: str, count: int, again: int = 0
) -> list[int]:
    """Records of a writer that are not among those, or changed, or are there twice: so many may
    be there `again`, all in all."""
    seen = Counter(found)
    times = [seen[content(written_record(name, n))] for n in range(count)]
    if sum(times) <= count + again:
        return [n for n in range(count) if not times[n]]
    return [n for n in range(count) if times[n] != 1]
