"""Apache Kafka 4.1 in KRaft mode on loopback: its jars, three brokers, its Java tools.

The jars come from Maven Central by `kafka-pom.xml` (about ten seconds, once). Needs Java 17 and
Maven. Brokers run with Kafka's defaults (no fsync), replication 3, min.insync.replicas 2.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAA"
CLIENT_PORT = 19_092
CONTROLLER_PORT = 29_091
HEAP_MB = 768
READY_WITHIN_S = 60.0


class PeerUnavailable(Exception):
    """The peer can not be run here; the message says what is missing."""


def jars(cache: Path) -> Path:
    """The directory of Kafka's jars. Raises PeerUnavailable."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise PeerUnavailable(f"Kafka needs {tool}: apt-get install openjdk-17-jre maven")
    target = (cache / "kafka-libs").resolve()  # Maven takes it relative to the pom
    if not any(target.glob("kafka_*.jar")):
        pom = Path(__file__).with_name("kafka-pom.xml")
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(pom), *goal], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PeerUnavailable(f"Maven could not bring Kafka: {done.stdout[-500:]}")
    return target


class KafkaCluster:
    """Three brokers, each also a controller."""

    def __init__(
        self,
        libs: Path,
        directory: Path,
        brokers: int = 3,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """`settings`: of the brokers, besides those that a cluster of this size needs."""
        self._libs = libs
        self._settings = settings or {}
        self._directory = directory
        self._count = brokers
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def bootstrap(self) -> str:
        """Of all brokers."""
        return ",".join(f"127.0.0.1:{CLIENT_PORT + i}" for i in range(self._count))

    def __enter__(self) -> Self:
        """Format, start, and wait until every broker answers metadata."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        try:
            for number in range(1, self._count + 1):
                self._start(number)
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def _start(self, number: int) -> None:
        properties = self._directory / f"{number}.properties"
        properties.write_text(self._properties(number))
        java = ["java", "-cp", f"{self._libs}/*"]
        subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)],
            check=True,
            capture_output=True,
        )
        heap = [f"-Xms{HEAP_MB}m", f"-Xmx{HEAP_MB}m", "-XX:+UseG1GC"]
        log = (self._directory / f"{number}.log").open("wb")
        command = [java[0], *heap, *java[1:], "kafka.Kafka", str(properties)]
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        log.close()

    def _properties(self, number: int) -> str:
        replicas = min(self._count, 3)
        in_sync = 2 if replicas > 1 else 1
        voters = ",".join(f"{i}@127.0.0.1:{CONTROLLER_PORT + i}" for i in range(1, self._count + 1))
        lines = {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{CLIENT_PORT + number - 1},"
            f"CONTROLLER://127.0.0.1:{CONTROLLER_PORT + number}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{CLIENT_PORT + number - 1}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self._directory / f"data{number}",
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            "min.insync.replicas": in_sync,
            "default.replication.factor": replicas,
            **self._settings,
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _await_ready(self) -> None:
        """Poll metadata until all brokers are in it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            for number, process in enumerate(self.processes, 1):
                if process.poll() is not None:
                    raise PeerUnavailable(
                        f"Kafka broker {number} ended with {process.returncode}: see "
                        f"{self._directory / f'{number}.log'}"
                    )
            with contextlib.suppress(KafkaException):  # not up yet, whatever it says
                if len(admin.list_topics(timeout=2).brokers) == self._count:
                    return
            time.sleep(0.2)
        raise PeerUnavailable(f"Kafka's brokers were not ready within {READY_WITHIN_S:.0f} s")

    def create_topic(self, name: str, partitions: int) -> None:
        """Create, and wait until every partition has a leader."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        topic = NewTopic(name, num_partitions=partitions, replication_factor=min(self._count, 3))
        admin.create_topics([topic])[name].result(60)
        self.await_leaders(name, partitions, without=None)

    def delete_topic(self, name: str) -> None:
        """Delete."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        admin.delete_topics([name])[name].result(60)

    def await_leaders(self, name: str, partitions: int, without: int | None) -> float:
        """Seconds until every partition has a leader other than broker `without`."""
        servers = [f"127.0.0.1:{CLIENT_PORT + i}" for i in range(self._count) if i + 1 != without]
        admin = AdminClient({"bootstrap.servers": ",".join(servers), "log_level": 0})
        begin = time.monotonic()
        while time.monotonic() - begin < READY_WITHIN_S:
            found = admin.list_topics(name, timeout=5).topics[name].partitions
            led = [p for p in found.values() if p.leader not in {-1, without}]
            if len(led) == partitions:
                return time.monotonic() - begin
            time.sleep(0.02)
        raise PeerUnavailable(f"Kafka had no leaders for {name} within {READY_WITHIN_S:.0f} s")

    def kill(self, number: int) -> None:
        """SIGKILL broker `number` (from 1)."""
        self.processes[number - 1].send_signal(signal.SIGKILL)
        self.processes[number - 1].wait()

    def stop(self) -> None:
        """End all brokers."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def memory_mb(self) -> float:
        """Resident memory of the largest broker, MB."""
        return max(resident_mb(p.pid) for p in self.processes if p.poll() is None)

    def produce_with_java(
        self, topic: str, records: int, *, payload: Path | None, record_bytes: int, codec: str
    ) -> tuple[float, float]:
        """Kafka's ProducerPerformance: (records/s, MB/s), acks from all in-sync replicas."""
        size = (
            ["--payload-file", str(payload)]
            if payload is not None
            else ["--record-size", str(record_bytes)]
        )
        command = [
            "java",
            "-cp",
            f"{self._libs}/*",
            "-Xmx512m",
            "org.apache.kafka.tools.ProducerPerformance",
            "--topic",
            topic,
            "--num-records",
            str(records),
            "--throughput",
            "-1",
            *size,
            "--producer-props",
            f"bootstrap.servers={self.bootstrap}",
            "acks=all",
            f"compression.type={codec}",
            "batch.size=262144",
            "linger.ms=5",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.findall(r"([\d.]+) records/sec \(([\d.]+) MB/sec\)", done.stdout)
        if done.returncode or not found:
            raise PeerUnavailable(f"ProducerPerformance failed: {done.stdout[-300:]}{done.stderr}")
        rate, megabytes = found[-1]
        return float(rate), float(megabytes)


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1_024
    return 0.0
