"""A cluster of real node processes on loopback, for whoever wants to kill some of them.

`streamlog dev` runs one until Ctrl-C; the demonstration and the benchmark kill and restart nodes
of one. A node ends when the pipe on its standard input does, so none outlives this process.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from streamlog.cli.failure import CommandFailed

HOST = "127.0.0.1"
CONTROLLERS_MAX = 3
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
HEALTH_PAUSE_S = 0.05
HEALTH_TIMEOUT_MS = 1_000.0
LOG_LINES_SHOWN = 5
PORTS = range(12_000, 32_000)
PORT_ATTEMPTS = 200


def free_ports(count: int) -> list[int]:
    """Consecutive ports of loopback that nothing listens on at the moment.

    They lie below those that the system gives to whoever asks for any: a connection, or the direct
    port of the node that starts first, must not take one before its node binds it.

    Raises CommandFailed when there are none.
    """
    for _ in range(PORT_ATTEMPTS):
        first = PORTS.start + secrets.randbelow(len(PORTS) - count)
        ports = list(range(first, first + count))
        if all(map(_is_free, ports)):
            return ports
    raise CommandFailed(f"no {count} consecutive ports of {PORTS.start} to {PORTS.stop} are free")


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            return False
        return True


class LocalCluster:
    """Node processes 1 to `nodes`, their data under one directory: `node-1/`, `node-1.log`,
    `node-1.pid`, ..."""

    def __init__(self, directory: Path, nodes: int, ports: Sequence[int] = ()) -> None:
        """`ports`: of the nodes in order, and as many above the last one for what operators ask
        them; free ones are chosen when none are given."""
        chosen = list(ports) or free_ports(2 * nodes)[:nodes]
        self.directory = directory
        self.addresses = {n: f"{HOST}:{chosen[n - 1]}" for n in range(1, nodes + 1)}
        self.operations = {n: f"{HOST}:{chosen[nodes - 1] + n}" for n in range(1, nodes + 1)}
        """Where the nodes answer /metrics, /healthz and /readyz."""
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap(self) -> str:
        """Addresses of all nodes, for clients."""
        return ",".join(self.addresses.values())

    @property
    def data_directories(self) -> list[Path]:
        """Of the nodes in order."""
        return [self.directory / f"node-{node}" for node in self.addresses]

    def log_of(self, node: int) -> Path:
        """Where the node's output goes."""
        return self.directory / f"node-{node}.log"

    def pid_file_of(self, node: int) -> Path:
        """Where the node's process id is, for whoever wants to kill it."""
        return self.directory / f"node-{node}.pid"

    def pids(self) -> list[int]:
        """Of the nodes that run."""
        return [p.pid for p in self._processes.values() if p.poll() is None]

    def exit_code(self, node: int) -> int | None:
        """How the node ended; None while it runs."""
        return self._processes[node].poll()

    async def start(self) -> None:
        """Start all nodes and wait until they serve.

        Raises CommandFailed with the end of a node's log when one ended instead.
        """
        self._refuse_ports_in_use()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for node in self.addresses:
                self.spawn(node)
        except OSError as error:
            raise CommandFailed(
                f"can not start nodes in {self.directory}: {error.strerror}"
            ) from error
        await self.await_ready()

    def _refuse_ports_in_use(self) -> None:
        """Another cluster would answer there for nodes of this one that are about to fail."""
        for address in (*self.addresses.values(), *self.operations.values()):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, int(address.rpartition(":")[2])))
                except OSError as error:
                    raise CommandFailed(
                        f"the address {address} is in use by another process; is another cluster "
                        "running? Choose other ports with --port."
                    ) from error

    async def restart(self, node: int) -> None:
        """Start a node that ended, and wait until it serves."""
        self.spawn(node)
        await self.await_ready()

    def kill(self, node: int) -> None:
        """SIGKILL."""
        self.signal(node, signal.SIGKILL)
        _reap(self._processes[node])

    def signal(self, node: int, number: signal.Signals) -> None:
        """Send a signal to a node."""
        self._processes[node].send_signal(number)

    async def stop(self) -> None:
        """Have every node stop, at first gently."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
        while self.pids() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(HEALTH_PAUSE_S)
        self.kill_all()

    def kill_all(self) -> None:
        """End whatever still runs, at once."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            _reap(process)

    async def await_ready(self) -> None:
        """Wait until every started node serves. Raises CommandFailed when one ended or hangs."""
        # gRPC is imported only after processes were started: it and fork do not go together.
        from streamlog.cli.node.health import serves
        from streamlog.host.network import GrpcNetwork

        network = GrpcNetwork()
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        waiting = list(self._processes)
        while waiting:
            for node in list(waiting):
                if self.exit_code(node) is not None:
                    raise CommandFailed(self.obituary(node))
                if await serves(network, self.addresses[node], HEALTH_TIMEOUT_MS):
                    waiting.remove(node)
            if waiting and asyncio.get_running_loop().time() > deadline:
                raise CommandFailed(
                    f"node {waiting[0]} does not serve after {START_TIMEOUT_S:.0f} s;"
                    f"{self._end_of_log(waiting[0])}"
                )
            if waiting:
                await asyncio.sleep(HEALTH_PAUSE_S)

    def obituary(self, node: int) -> str:
        """What is known of a node that ended."""
        return f"node {node} ended with code {self.exit_code(node)};{self._end_of_log(node)}"

    def spawn(self, node: int) -> None:
        """Start a node that does not run."""
        voters = [n for n in self.addresses if n <= CONTROLLERS_MAX]
        with self.log_of(node).open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "streamlog.cli.main",
                    "server",
                    f"--data-dir={self.directory / f'node-{node}'}",
                    f"--node-id={node}",
                    f"--bind={self.addresses[node]}",
                    f"--operations-bind={self.operations[node]}",
                    f"--controllers={','.join(f'{n}@{self.addresses[n]}' for n in voters)}",
                    *(["--bootstrap"] if node in voters else []),
                    "--stop-with-input",
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for this process alone, which then stops the nodes.
                start_new_session=True,
            )
        self.pid_file_of(node).write_text(f"{self._processes[node].pid}\n")

    def _end_of_log(self, node: int) -> str:
        lines = self.log_of(node).read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n  ".join([f" the end of {self.log_of(node)}:", *lines])


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that ends, and close what leads to it."""
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
