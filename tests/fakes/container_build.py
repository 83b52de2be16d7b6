"""Builds an image's file system as its Containerfile says, with no container runtime.

Each stage is an overlay over this machine's own root, which stands in for the base image: COPY and
RUN change the overlay only, in a mount namespace of their own. What this does not show is the base
image itself: packages that it lacks and this machine has.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.containerfile import Instruction, Stage, read_stages

BUILD_SECONDS = 400
PARTS = ("upper", "work", "python-upper", "python-work", "root")
"""Directories of a layer."""
KEPT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_CERT", "SSL_CERT_FILE")
"""How this machine reaches its package index."""


def refusal() -> str:
    """Why this can not be done here; empty when it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "needs Linux and root"
    for tool in ("unshare", "chroot", "mount", "ip", "setpriv"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--fork", "ip", "link", "set", "lo", "up"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"unshare is not permitted: {done.stderr.strip()}" if done.returncode else ""


class BuildFailed(Exception):
    """A step of the Containerfile; the message has its output."""


@dataclass(frozen=True)
class Layer:
    """The changes that a stage made to this machine's root."""

    directory: Path

    @property
    def root(self) -> Path:
        """Where the stage's file system is mounted, within a namespace that mounted it."""
        return self.directory / "root"

    @property
    def upper(self) -> Path:
        """What differs from the base."""
        return self.directory / "upper"

    def mount(self) -> str:
        """Commands of a shell that mount it; Python is where its images have it."""
        where = {part: shlex.quote(str(self.directory / part)) for part in PARTS}
        root = where["root"]
        overlays = [
            ("/", where["upper"], where["work"], root),
            (sys.base_prefix, where["python-upper"], where["python-work"], f"{root}/usr/local"),
        ]
        commands = [
            f"mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {target}"
            for lower, upper, work, target in overlays
        ]
        commands += [f"mount --rbind /{name} {root}/{name}" for name in ("dev", "proc")]
        return " && ".join(commands)


class ImageBuild:
    """Carries out a Containerfile. Raises BuildFailed."""

    def __init__(self, containerfile: Path, context: Path, directory: Path) -> None:
        """`directory` gets the layers; it must be on a file system that overlays can use."""
        self._context, self._directory = context, directory
        self.stages = read_stages(containerfile)
        self._layers: dict[str, Layer] = {}

    def run(self) -> Layer:
        """The last stage's layer."""
        for stage in self.stages:
            self._layers[stage.name] = self._stage(stage)
        return self._layers[self.stages[-1].name]

    def _stage(self, stage: Stage) -> Layer:
        layer = Layer(self._directory / f"stage-{stage.name}")
        for part in PARTS:
            (layer.directory / part).mkdir(parents=True)
        self._as_base_image(layer)
        working_directory = "/"
        for instruction in stage.instructions:
            match instruction.name:
                case "WORKDIR":
                    working_directory = instruction.text
                    self._in(layer, f"mkdir -p {layer.root}{working_directory}")
                case "COPY":
                    self._copy(layer, instruction, working_directory)
                case "RUN":
                    self._run(layer, instruction.text, working_directory)
        return layer

    def _as_base_image(self, layer: Layer) -> None:
        """Its Python is called `python`, and can be read by every user."""
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        parents = [str(parent) for parent in Path(sys.base_prefix).parents if parent != Path("/")]
        opened = " ".join(f"{layer.root}{parent}" for parent in [sys.base_prefix, *parents])
        self._in(layer, f"chmod a+x {opened} && ln -sf {version} {layer.root}/usr/local/bin/python")

    def _copy(self, layer: Layer, instruction: Instruction, working_directory: str) -> None:
        words = instruction.words()
        source_root, others = str(self._context), []
        if words[0].startswith("--from="):
            other = self._layers[words.pop(0).removeprefix("--from=")]
            source_root, others = str(other.root), [other]
        *sources, target = words
        path = target if target.startswith("/") else f"{working_directory}/{target}"
        destination = f"{layer.root}{path}"
        commands = []
        for source in sources:
            origin = f"{source_root}/{source.lstrip('/')}"
            if len(sources) > 1 or target.endswith("/"):
                commands.append(f"mkdir -p {destination} && cp -a {origin} {destination}/")
            else:
                commands.append(
                    f"if [ -d {origin} ]; then mkdir -p {destination} && cp -a {origin}/."
                    f" {destination}; else mkdir -p $(dirname {destination}) &&"
                    f" cp -a {origin} {destination}; fi && chown -R 0:0 {destination}"
                )
        self._in(layer, " && ".join(commands), others)

    def _run(self, layer: Layer, command: str, working_directory: str) -> None:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"}
        environment |= {name: os.environ[name] for name in KEPT if name in os.environ}
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        inner = f"cd {working_directory} && {command}"
        self._in(
            layer,
            f"chroot {layer.root} /usr/bin/env -i {settings} /bin/sh -ec {shlex.quote(inner)}",
        )

    def _in(self, layer: Layer, command: str, others: Sequence[Layer] = ()) -> None:
        """Run a shell's command where the layer, and others, are mounted."""
        mounts = " && ".join(each.mount() for each in (layer, *others))
        done = subprocess.run(
            ["unshare", "--mount", "--fork", "/bin/sh", "-c", f"{mounts} && {command}"],
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        if done.returncode:
            raise BuildFailed(f"{command}\n{done.stdout}{done.stderr}")
