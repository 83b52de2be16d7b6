"""The languages that have a client in `examples/clients`, what each needs on a machine, and how to
get it.

python -m contract.toolchains [--install]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "examples" / "clients"
PROBE_SECONDS_MAX: Final = 60.0
INSTALL_SECONDS_MAX: Final = 240.0
USUAL_PLACES: Final = (
    "/usr/local/go/bin",
    "/usr/lib/go/bin",
    str(Path.home() / ".cargo" / "bin"),
    "/usr/local/bin",
)
"""Where tools are that installers do not put on everybody's PATH."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that must be there to build."""

    name: str
    how: str
    """How to get it, on Debian."""
    probe: tuple[str, ...] = ()
    """A command that ends with 0 if it is there; default: `name` is on the PATH."""
    package: str = ""
    """Debian's package of it; none: Debian has no version that is new enough."""

    def is_there(self) -> bool:
        """Ask the machine."""
        if not self.probe:
            return shutil.which(self.name, path=search_path()) is not None
        try:
            done = subprocess.run(
                self.probe,
                env=os.environ | {"PATH": search_path()},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


@dataclass(frozen=True, slots=True)
class Language:
    """A folder of `examples/clients`."""

    name: str
    title: str
    tools: tuple[Tool, ...]

    @property
    def folder(self) -> Path:
        """Where its program is."""
        return FOLDER / self.name

    @property
    def written(self) -> bool:
        """Its program is there."""
        return (self.folder / "build.sh").exists()

    def missing(self) -> list[Tool]:
        """Tools that this machine has not."""
        return [tool for tool in self.tools if not tool.is_there()]


def header(name: str, package: str) -> Tool:
    """A C++ library, by a header of it."""
    probe = ("g++", "-std=c++17", "-fsyntax-only", "-include", name, "-x", "c++", "/dev/null")
    return Tool(f"<{name}>", f"apt-get install {package}", probe, package)


def packaged(name: str, package: str, why: str = "") -> Tool:
    """A program that Debian has."""
    return Tool(name, f"apt-get install {package}{why}", package=package)


GO: Final = Tool("go", "1.24 or newer: apt-get install golang, or the Go project's archive")
NODE_PROBE: Final = ("node", "-e", "process.exit(require('node:zlib').crc32 ? 0 : 1)")
NPM: Final = Tool("npm", "comes with node, or apt-get install npm")
CARGO_PROBE: Final = ("sh", "-c", "rustc -V | awk '{split($2, v, \".\"); exit v[2] < 88}'")

LANGUAGES: Final = (
    Language("python", "Python", ()),
    Language("go", "Go", (GO,)),
    Language(
        "java",
        "Java",
        (
            packaged("javac", "openjdk-17-jdk-headless"),
            packaged("mvn", "maven"),
        ),
    ),
    Language(
        "node", "Node", (Tool("node", "20.15 or newer: apt-get install nodejs", NODE_PROBE), NPM)
    ),
    Language(
        "rust",
        "Rust",
        (
            Tool("cargo", "1.88 or newer: rustup", CARGO_PROBE),
            packaged("cc", "gcc", ", for the zstd that comes with its crate"),
        ),
    ),
    Language(
        "cpp",
        "C++",
        (
            packaged("g++", "g++"),
            packaged("cmake", "cmake"),
            packaged("pkg-config", "pkg-config"),
            packaged("protoc", "protobuf-compiler"),
            packaged("grpc_cpp_plugin", "protobuf-compiler-grpc"),
            header("grpcpp/grpcpp.h", "libgrpc++-dev"),
            header("zlib.h", "zlib1g-dev"),
            header("zstd.h", "libzstd-dev"),
        ),
    ),
)  # fmt: skip

OTHERS: Final = (
    Language("buf", "buf, which lints proto/ (npm has it)", (NPM,)),
    Language("grpcurl", "grpcurl, a generic client (Go's proxy has it)", (GO,)),
)
"""Tools of `make test-clients` that are no clients of ours."""


def search_path() -> str:
    """PATH, and where installers of languages put things."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *USUAL_PLACES])


def report(languages: Sequence[Language]) -> tuple[list[str], bool]:
    """Lines for people, and whether everything is there."""
    lines, complete = [], True
    for language in languages:
        missing = language.missing()
        complete = complete and not missing
        lines.append(f"{language.title}: {'missing' if missing else 'ready'}")
        lines += [f"  {tool.name}: {tool.how}" for tool in missing]
    return lines, complete


def install(languages: Sequence[Language]) -> None:
    """Install what is missing and Debian has. What can not be had stays missing, and is told."""
    packages = dict.fromkeys(
        tool.package for language in languages for tool in language.missing() if tool.package
    )
    if not packages:
        return
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", *packages]):
        try:
            done = subprocess.run(
                command,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"{' '.join(command)}: {error}\n")
            return
        if done.returncode:
            sys.stderr.write(f"{' '.join(command)} failed: {done.stderr.strip()}\n")


def main() -> int:
    """Say what is missing. 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--install", action="store_true", help="first install what Debian has (as root)"
    )
    if parser.parse_args().install:
        install([*LANGUAGES, *OTHERS])
    lines, complete = report([*LANGUAGES, *OTHERS])
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
