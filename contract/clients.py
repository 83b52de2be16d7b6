"""Builds the programs in `examples/clients`, and runs them by the contract of the README there.

Everything that is built or downloaded for it goes to `var/clients`, which is kept, so that only the
first run is slow.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Self

from contract.toolchains import Language, search_path

ROOT: Final = Path(__file__).parents[1]
VAR: Final = ROOT / "var" / "clients"
BUILD_SECONDS_MAX: Final = 540.0
RUN_SECONDS_MAX: Final = 180.0
LOG_LINES_SHOWN: Final = 30
UNREACHABLE: Final = re.compile(
    r"could not resolve|name resolution|no such host|unknown host|could not transfer artifact"
    r"|connection (refused|timed out)|network is unreachable|i/o timeout"
    r"|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT",
    re.IGNORECASE,
)
"""What package managers print on a machine without a network."""

Line = dict[str, Any]


class BuildFailed(Exception):
    """The message ends with the end of the build's output."""


class DownloadFailed(BuildFailed):
    """Packages that a build needs can not be had: there is no way to where they are."""


class ProgramFailed(Exception):
    """A program ended with another code than 0, printed something else than JSON, or took too
    long."""


def protoc() -> Path:
    """A script that runs the protobuf compiler of this environment."""
    script = VAR / "bin" / "protoc"
    script.parent.mkdir(parents=True, exist_ok=True)
    text = f'#!/bin/sh\nexec "{sys.executable}" -m grpc_tools.protoc "$@"\n'
    if not script.exists() or script.read_text() != text:
        script.write_text(text)
        script.chmod(0o755)
    return script


def build(language: Language) -> Path:
    """Build the program of a language; returns what to run.

    Raises DownloadFailed, BuildFailed.
    """
    out = VAR / language.name
    out.mkdir(parents=True, exist_ok=True)
    log = out / "build.log"
    environment = os.environ | {
        "PATH": search_path(),
        "OUT": str(out),
        "PROTO": str(ROOT / "proto"),
        "PROTOC": str(protoc()),
        "PYTHON": sys.executable,
    }
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                ["sh", "./build.sh"],
                cwd=language.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BUILD_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BuildFailed(
                f"{language.title}: more than {BUILD_SECONDS_MAX:.0f} s;{_end_of(log)}"
            ) from None
    program = out / "client"
    if done.returncode or not program.exists():
        what = f"{language.title}: code {done.returncode};{_end_of(log)}"
        if UNREACHABLE.search(log.read_text(errors="replace")):
            raise DownloadFailed(what)
        raise BuildFailed(what)
    return program


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return "\n  ".join([f" the end of {log}:", *lines])


class Program:
    """One run of a client. Its lines are read as they come, so that it never waits for a reader.

    Invariant: the process is gone when the `with` block is left.
    """

    def __init__(self, program: Path, command: str, /, **flags: object) -> None:
        """`flags`: `time_ms=5` becomes `--time-ms 5`."""
        arguments = [command]
        for name, value in flags.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        self.name = f"{program.parent.name} {command}"
        self.lines: list[Line] = []
        """All that it printed so far."""
        self._errors: list[str] = []
        self._new: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PATH": search_path()},
        )
        self._threads = [
            threading.Thread(target=read, args=(stream,), daemon=True)
            for read, stream in (
                (self._read_lines, self._process.stdout),
                (self._read_errors, self._process.stderr),
            )
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read_lines(self, stream: IO[str]) -> None:
        for text in stream:
            try:
                line: Line = json.loads(text)
            except ValueError:
                line = {"garbage": text}
            self.lines.append(line)
            self._new.put(line)
        self._new.put(None)

    def _read_errors(self, stream: IO[str]) -> None:
        for text in stream:
            self._errors.append(text)
            del self._errors[:-LOG_LINES_SHOWN]

    def each(self, timeout_s: float = RUN_SECONDS_MAX) -> Iterator[Line]:
        """Lines as they come, until it prints no more. Raises ProgramFailed."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._new.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise ProgramFailed(self._told(f"is not done after {timeout_s:.0f} s")) from None
            if line is None:
                return
            if "garbage" in line:
                raise ProgramFailed(self._told(f"printed {line['garbage']!r}, which is no JSON"))
            yield line

    def await_line(self, name: str, at_least: int = 0) -> Line:
        """The next line that has the field `name`, and there this number or more."""
        for line in self.each():
            if name in line and (not at_least or line[name] >= at_least):
                return line
        raise ProgramFailed(self._told(f"ended without {name!r}"))

    def finish(self) -> Line:
        """Close its standard input and wait until it ends well; returns its last line, the result.

        Raises ProgramFailed.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        for _ in self.each():
            pass
        try:
            code = self._process.wait(timeout=RUN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(self._told("does not end")) from None
        if code:
            raise ProgramFailed(self._told(f"ended with code {code}"))
        if not self.lines:
            raise ProgramFailed(self._told("printed nothing"))
        return self.lines[-1]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP freezes it, SIGCONT lets it go on."""
        self._process.send_signal(number)

    def records(self) -> list[Line]:
        """Those that it printed so far."""
        return [line for line in list(self.lines) if "offset" in line]

    def _told(self, what: str) -> str:
        return f"{self.name} {what}; its errors end with:\n  {'  '.join(self._errors)}"


def run(program: Path, command: str, /, **flags: object) -> Program:
    """Run it to its end. Raises ProgramFailed."""
    with Program(program, command, **flags) as running:
        running.finish()
    return running
