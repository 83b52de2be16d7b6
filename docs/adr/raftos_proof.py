"""Shows that raftos 0.2.6 can not be started on this Python.

Usage: python docs/adr/raftos_proof.py

Makes a virtual environment of its own in a temporary directory, installs raftos there without its
pinned dependencies, and starts one node. Exits 0 when that fails, as ADR 7 says; 1 when it works.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

START = """
import asyncio
import raftos
raftos.configure({"log_path": ".", "serializer": raftos.serializers.JSONSerializer})
asyncio.run(raftos.register("127.0.0.1:8765"))
"""


def main() -> int:
    """Try, and say what happened."""
    with tempfile.TemporaryDirectory(prefix="raftos-") as directory:
        venv.create(directory, with_pip=True)
        python = str(Path(directory) / "bin" / "python")
        packages = ["raftos==0.2.6", "msgpack-python", "cryptography"]
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *packages], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "cffi"], check=True)
        run = subprocess.run(
            [python, "-c", START],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    print(run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "it started")
    return 0 if run.returncode else 1


if __name__ == "__main__":
    sys.exit(main())
