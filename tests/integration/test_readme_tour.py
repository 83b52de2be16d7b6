"""The tour of the README, command by command, with the output that it shows.

Only the ports differ: a test can not count on 9092 being free. The commands that install are
tried by whoever runs the tests.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.node_processes import free_addresses

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TIMEOUT_S = 180
WITHOUT_THE_CLUSTER = "streamlog log verify"
"""The text says to press Ctrl-C before it."""
BEFORE_THE_TOUR = {"make install", 'export PATH="$PWD/.venv/bin:$PATH"'}
EXIT_CODES = {"streamlog cluster status": 1}
"""A node is down then, as the text says."""
SETTLES = ("streamlog cluster status", "streamlog group list")
"""What these show comes after a while; a person looks again."""


def steps() -> Iterator[tuple[str, str, str]]:
    """Kind, command or program, and expected output, in the order of the page."""
    for kind, text in re.findall(r"```(console|python)\n(.*?)```", README, re.DOTALL):
        if kind == "python":
            yield kind, text, ""
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            if command not in BEFORE_THE_TOUR:
                yield "dev" if command.startswith("streamlog dev") else kind, command, output


def looks_like(output: str, shown: str) -> bool:
    """An ellipsis stands for anything, spaces between columns for any number of them."""
    pattern = "".join(
        r"[\s\S]*" if piece == "…" else r"\s+" if piece.isspace() else re.escape(piece)
        for piece in re.findall(r"…|[^\S\n]+|\n|[^…\s]+", shown)
    )
    return re.fullmatch(pattern, output) is not None


class Tour:
    """Somebody with two terminals."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        port = int(free_addresses(6)[0].rpartition(":")[2])
        self.ports = {str(9092 + n): str(port + n) for n in range(3)}
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STREAMLOG_BOOTSTRAP": f"127.0.0.1:{port}",
        }
        self.dev: subprocess.Popen[str] | None = None

    def here(self, text: str) -> str:
        """With the ports of this run instead of the README's."""
        return re.sub("|".join(self.ports), lambda found: self.ports[found[0]], text)

    def start(self, command: str) -> str:
        """The cluster; what it prints until it serves."""
        self.stop()
        first = self.ports["9092"]
        self.dev = subprocess.Popen(
            [*command.split(), "--port", first],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.directory,
            env=self.environment,
        )
        assert self.dev.stdout is not None
        lines = []
        for line in self.dev.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        return "".join(lines)

    def stop(self) -> None:
        """Ctrl-C in its terminal."""
        if self.dev is not None:
            self.dev.send_signal(signal.SIGINT)
            self.dev.communicate(timeout=TIMEOUT_S)
            assert self.dev.returncode == 0
            self.dev = None

    def run(self, command: str) -> tuple[int, str]:
        """Exit code, and what the other terminal shows."""
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            cwd=self.directory,
            env=self.environment,
            check=False,
        )
        return done.returncode, done.stdout


def test_every_command_of_the_tour(tmp_path: Path) -> None:
    """Does and prints what the README says."""
    tour = Tour(tmp_path)
    shown = list(steps())
    assert [kind for kind, _, _ in shown].count("dev") == 2
    assert len(shown) >= 15
    try:
        for kind, command, expected in shown:
            if kind == "dev":
                code, output = 0, tour.start(command)
            elif kind == "python":
                program = tmp_path / "program.py"
                program.write_text(tour.here(command))
                code, output = tour.run(f"{sys.executable} program.py")
                expected = "…b'bike-1' b'serviced'\n"
            else:
                if command.startswith(WITHOUT_THE_CLUSTER):
                    tour.stop()
                code, output = tour.run(command)
                give_up = time.monotonic() + TIMEOUT_S
                while (
                    command.startswith(SETTLES)
                    and not looks_like(output, tour.here(expected))
                    and time.monotonic() < give_up
                ):
                    time.sleep(0.5)
                    code, output = tour.run(command)
            assert code == EXIT_CODES.get(command, 0), f"{command}\n{output}"
            assert looks_like(output, tour.here(expected)), f"{command}\n{output}"
        tour.stop()
    finally:
        if tour.dev is not None:
            tour.dev.terminate()
            tour.dev.communicate(timeout=TIMEOUT_S)
