"""`streamlog dev` as a developer uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.node_processes import NodeProcess, free_addresses, until

TIMEOUT_S = 120


@contextmanager
def dev(directory: Path, port: int, nodes: int) -> Iterator[subprocess.Popen[str]]:
    """The command, killed at the end if it still runs."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamlog.cli.main",
            "dev",
            f"--nodes={nodes}",
            f"--data-dir={directory}",
            f"--port={port}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_greeted(process: subprocess.Popen[str]) -> str:
    """What it prints when the cluster serves."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            return "".join(lines)
    assert process.stderr is not None
    raise AssertionError("".join(lines) + process.stderr.read())


def test_a_cluster_that_is_restarted_keeps_its_data(tmp_path: Path) -> None:
    """It says how to talk to it, Ctrl-C ends it with code 0, and a second start goes on."""
    port = int(free_addresses(4)[0].rpartition(":")[2])
    node = NodeProcess(tmp_path, 1, [f"127.0.0.1:{port}"])
    for round_ in range(2):
        with dev(tmp_path, port, 2) as process:
            greeting = until_greeted(process)
            assert f"127.0.0.1:{port}" in greeting
            assert f"127.0.0.1:{port + 1}" in greeting
            for number in (2, 3):
                url = f"http://127.0.0.1:{port + number}/metrics"
                assert url in greeting
                with urllib.request.urlopen(url, timeout=TIMEOUT_S) as scraped:
                    assert b"streamlog_node_healthy 1.0" in scraped.read()
            if round_ == 0:
                node.create_topic("kept", 1, 2)
            else:
                assert node.topics() == ["kept"]
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 0
        assert not node.serves()


def test_what_it_prints_works(tmp_path: Path) -> None:
    """The commands of the greeting, run as they are printed, create, write and read."""
    port = int(free_addresses(4)[0].rpartition(":")[2])
    with dev(tmp_path, port, 1) as process:
        lines = [line.strip() for line in until_greeted(process).splitlines()]
        commands = [line for line in lines if "streamlog " in line]
        assert len(commands) == 3
        for command in commands:
            shown = command.replace("consume hello", "consume hello --number 1").replace(
                "streamlog ", f"{sys.executable} -m streamlog.cli.main "
            )
            done = subprocess.run(
                ["/bin/sh", "-c", shown],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "a record" in done.stdout


def test_nodes_do_not_outlive_the_command(tmp_path: Path) -> None:
    """Even when it is killed: their standard input ends, and they stop."""
    port = int(free_addresses(4)[0].rpartition(":")[2])
    node = NodeProcess(tmp_path, 1, [f"127.0.0.1:{port}"])
    with dev(tmp_path, port, 1) as process:
        until_greeted(process)
        until(node.serves, "the node serves")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not node.serves(), "the node stops")
        until(lambda: not (tmp_path / "node-1" / "running").exists(), "its stop is clean")


def test_a_second_cluster_on_the_same_ports_is_refused(tmp_path: Path) -> None:
    """It does not take the nodes of the first one, which answer there, for its own."""
    port = int(free_addresses(4)[0].rpartition(":")[2])
    with dev(tmp_path / "first", port, 1) as first:
        until_greeted(first)
        with dev(tmp_path / "second", port, 1) as second:
            assert second.wait(TIMEOUT_S) == 1
            assert second.stderr is not None
            told = second.stderr.read()
            assert second.stdout is not None
            assert second.stdout.read() == ""
        assert f"the address 127.0.0.1:{port} is in use by another process" in told
        assert "--port" in told
        assert "Traceback" not in told
