"""Reads a Containerfile, as far as this project's goes: instructions, continuation lines, stages."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

INSTRUCTIONS = {
    *("ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "VOLUME", "EXPOSE"),
    *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
}


@dataclass(frozen=True)
class Instruction:
    """One of them, with what follows it on its (joined) line."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Arguments: of the JSON form as they are, of the other one as a shell splits them."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return shlex.split(self.text)


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """Instructions of a name, in order."""
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        """The only one of a name."""
        (found,) = self.all(name)
        return found

    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = (word.partition("=") for each in self.all("ENV") for word in each.words())
        return {name: value for name, _, value in pairs}


def read_stages(path: Path) -> list[Stage]:
    """The stages in order. Raises ValueError for what a builder would not take."""
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for instruction in _instructions(path.read_text()):
        if instruction.name not in INSTRUCTIONS:
            raise ValueError(f"{path}: {instruction.name} is no instruction")
        if instruction.name == "ARG" and not stages:
            name, _, value = instruction.text.partition("=")
            arguments[name] = value
        elif instruction.name == "FROM":
            words = instruction.words()
            base = words[0]
            for name, value in arguments.items():
                base = base.replace(f"${{{name}}}", value)
            stages.append(Stage(base, words[2] if len(words) > 2 else str(len(stages))))
        elif not stages:
            raise ValueError(f"{path}: {instruction.name} before the first FROM")
        else:
            stages[-1].instructions.append(instruction)
    return stages


def _instructions(text: str) -> list[Instruction]:
    found: list[Instruction] = []
    joined = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        joined += line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        name, _, rest = joined.partition(" ")
        found.append(Instruction(name, rest.strip()))
        joined = ""
    return found
