"""A user at a shell, and the cluster that `streamlog dev` gives them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fakes.node_processes import WAIT_SECONDS, free_addresses, until

COMMAND = [sys.executable, "-m", "streamlog.cli.main"]
TIMEOUT_S = 180
"""Of one command; against a hang, on however slow a machine."""
NODES = 3
UNDECIDED = re.compile(
    "did not answer within|no node answers|METADATA_UNAVAILABLE|METADATA_OUTCOME_UNKNOWN"
    "|LEADER_NOT_AVAILABLE|NOT_LEADER|OVERLOADED|REQUEST_TIMED_OUT"
)
"""What a command says that met the election of a leader."""


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

    def decided(
        self, *arguments: str, stdin: str | bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """To its end, and again when it met an election: of a command that may be repeated."""
        deadline_s = time.monotonic() + WAIT_SECONDS
        while True:
            done = self.run(*arguments, stdin=stdin)
            if not UNDECIDED.search(done.stderr) or time.monotonic() > deadline_s:
                return done

    def ok(self, *arguments: str, stdin: str | bytes = b"") -> str:
        """What it prints; exit code 0."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def told(
        self, words: str, *arguments: str, stdin: str | bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """To its end, again and again until its errors have these words, or time is up. A command
        does not wait long for a cluster that is slow: it says so, or leaves out a suggestion."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            done = self.run(*arguments, stdin=stdin)
            if words in done.stderr or time.monotonic() > deadline:
                return done

    def create(self, topic: str, *options: str) -> None:
        """Have a topic made. What a slow cluster does not answer in time may be done all the
        same."""
        may_be_made = False

        def made() -> bool:
            nonlocal may_be_made
            done = self.run("topic", "create", topic, *options)
            if done.returncode == 0 or (may_be_made and "TOPIC_EXISTS" in done.stderr):
                return True
            may_be_made = may_be_made or UNDECIDED.search(done.stderr) is not None
            return False

        until(made, f"topic {topic} is made")

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


def until_connected(process: subprocess.Popen[bytes], addresses: Sequence[str]) -> None:
    """Wait until a command talks to one of these nodes: before, Ctrl-C may meet an interpreter that
    only starts."""
    ports = [int(address.rpartition(":")[2]) for address in addresses]

    def connected() -> bool:
        assert process.poll() is None, process.communicate()
        sockets = []
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # It was closed meanwhile.
                sockets.append(str(descriptor.readlink()))
        tables = [path.read_text() for path in Path("/proc/net").glob("tcp*")]
        for line in "".join(tables).splitlines():
            remote, state, inode = (line.split()[field] for field in (2, 3, 9))
            if state != "01" or f"socket:[{inode}]" not in sockets:
                continue
            if int(remote.rpartition(":")[2], 16) in ports:
                return True
        return False

    until(connected, f"{process.args!r} is connected")


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
        assert any("Ctrl-C" in line for line in process.stdout), "it ended instead of serving"
        shell = Shell(f"127.0.0.1:{port}", data)
        shell.create("numbers", "--partitions", "3")
        lines = "".join(f"k{n}:{n}\n" for n in range(1, 101))
        shell.ok("produce", "numbers", "--key-separator", ":", stdin=lines)
        yield shell
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
