"""Generated Python is what the generator makes of proto/ today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_code_is_fresh(tmp_path: Path) -> None:
    """`make proto` would change nothing; else run it and commit the output."""
    protos = sorted(str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto"))
    assert protos
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'proto'}",
            f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
            *protos,
        ],
        check=True,
    )
    made = sorted(p for p in tmp_path.rglob("*_pb2.py*"))
    assert len(made) == 2 * len(protos)
    stale = [
        str(p.relative_to(tmp_path))
        for p in made
        if not (ROOT / p.relative_to(tmp_path)).exists()
        or (ROOT / p.relative_to(tmp_path)).read_text() != p.read_text()
    ]
    assert stale == []


def test_every_field_has_a_comment() -> None:
    """Every field, message, rpc and enum value says what it is, between nodes and on disk, too."""
    paths = sorted((ROOT / "proto").rglob("*.proto"))
    assert len({path.parent for path in paths}) > 4
    for path in paths:
        previous = ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = line.strip()
            declares = text.endswith(("{", "{}", ";")) and not text.startswith(
                ("syntax", "package", "import", "option ", "//")
            )
            if declares:
                assert previous.startswith("//"), f"{path.name}:{number}: {text}"
            previous = text
