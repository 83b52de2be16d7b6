"""A user at a shell, and the cluster that `streamlog dev` gives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.node_processes import free_addresses

COMMAND = [sys.executable, "-m", "streamlog.cli.main"]
TIMEOUT_S = 120
NODES = 3


class Shell:
    """Runs commands as a user does who has set STREAMLOG_BOOTSTRAP."""

    def __init__(self, bootstrap: str, data: Path) -> None:
        self.bootstrap, self.data = bootstrap, data
        self.environment = {
            **os.environ,
            "STREAMLOG_BOOTSTRAP": bootstrap,
            "XDG_CONFIG_HOME": str(data / "configuration"),
        }

    def run(self, *arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        """To its end; never a traceback."""
        text = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=text,
            capture_output=True,
            timeout=TIMEOUT_S,
            env=self.environment,
            check=False,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        assert "Traceback" not in result.stderr, result.stderr
        return result

    def ok(self, *arguments: str, stdin: str | bytes = b"") -> str:
        """What it prints; exit code 0."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """As at a terminal: Ctrl-C reaches it, also when these tests themselves run in the
        background, where shells have it ignored."""
        return subprocess.Popen(
            ["env", "--default-signal=INT", *COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )

    def sh(self, line: str) -> tuple[int, str, str]:
        """A pipeline; exit code of its first command, output, errors."""
        script = f"{line}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", script.replace("streamlog ", " ".join(COMMAND) + " ")],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=self.environment,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@contextmanager
def dev(data: Path) -> Iterator[Shell]:
    """`streamlog dev` with a topic `numbers` of 3 partitions that holds 1 to 100."""
    port = int(free_addresses(2 * NODES)[0].rpartition(":")[2])
    process = subprocess.Popen(
        [*COMMAND, "dev", f"--data-dir={data}", f"--port={port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        shell = Shell(f"127.0.0.1:{port}", data)
        shell.ok("topic", "create", "numbers", "--partitions", "3")
        lines = "".join(f"k{n}:{n}\n" for n in range(1, 101))
        shell.ok("produce", "numbers", "--key-separator", ":", stdin=lines)
        yield shell
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
