"""A TOML file of a node's settings.

node.id = 2
controllers = ["1@10.0.0.1:9092", "2@10.0.0.2:9092"]
[election.timeout]
ms = 900
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.cli.node.settings import text_of


def read_file(path: Path) -> dict[str, str]:
    """Text by key of a TOML file; tables join their keys with dots. Raises CommandFailed."""
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise CommandFailed(
            f"can not read the configuration {path}: {error.strerror}", EXIT_USAGE
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path} is not TOML: {error}", EXIT_USAGE) from error
    texts: dict[str, str] = {}
    _flatten("", tables, texts, path)
    return texts


def _flatten(prefix: str, table: Mapping[str, Any], texts: dict[str, str], path: Path) -> None:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            _flatten(f"{key}.", value, texts, path)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            texts[key] = ",".join(value)
        elif isinstance(value, bool | int | str):
            texts[key] = text_of(value)
        else:
            raise CommandFailed(
                f"{path}: {key} = {value!r} is not text, a whole number, true or false, or a list"
                " of texts",
                EXIT_USAGE,
            )
