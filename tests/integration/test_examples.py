"""The examples, and every piece of Python in the documents, run against a node.

One node serves all of it. A page's pieces share their names, in order, as if they were one
program; one that can not run here says why in its first line: `# not run: ...`.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.v1 import admin_service_pb2, record_service_pb2

SERVICES = {
    service.full_name: service
    for module in (admin_service_pb2, record_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}
ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "plain_path": ["record 1: partition", "record 3: partition", "bike-1 back"],
    "fast_path": [
        "50000 records are stored",
        "1000 callbacks told of a place",
        "51000 records were added",
    ],
    "replay": ["24 readings between 9 and 10, at 6 times:", "T09:50:00+00:00"],
    "optimistic_append": [
        "+100: done in 1 attempts",
        "-30: refused, the balance is 10",
        "balance: 10",
    ],
    "group_work": ["20 parcels sorted by 2 members", "10 more by the one that stayed"],
    "blocking_script": ["first: 4500 cents", "then: 14500 cents"],
}
"""What each of them prints, among other things."""
PAGES = sorted(
    path
    for path in [*ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"]
    if "```python\n" in path.read_text()
)
NOT_RUN = "# not run: "
EVERYWHERE = "127.0.0.1:9092"
TIMEOUT_S = 120
QUIET = {**os.environ, "GRPC_VERBOSITY": "NONE"}
"""What gRPC itself says of connections is no word of an example."""


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The node."""
    cluster = LocalCluster(tmp_path_factory.mktemp("node"), nodes=1)
    try:
        asyncio.run(cluster.start())
        yield cluster.bootstrap
    finally:
        cluster.kill_all()


def test_every_example_is_tried() -> None:
    """Each program of the folder, and each is named in its README."""
    programs = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"__init__", "target"}
    assert programs == set(EXAMPLES)
    readme = (ROOT / "examples" / "README.md").read_text()
    assert {name for name in programs if f"({name}.py)" in readme} == programs


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(bootstrap: str, name: str) -> None:
    """Ends well, and prints what it is about."""
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", "--bootstrap", bootstrap],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=QUIET,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    for line in EXAMPLES[name]:
        assert line in done.stdout, done.stdout


def test_an_example_without_a_cluster() -> None:
    """One line that says what to do."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.replay", "--bootstrap", "127.0.0.1:1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "streamlog dev" in done.stderr


def test_calls_without_python(bootstrap: str) -> None:
    """The requests that the page gives to grpcurl are the messages of those methods, and answered."""
    text = (ROOT / "examples" / "README.md").read_text()
    commands = re.findall(r"^grpcurl -plaintext -d '(.*)' (\S+) (\S+)$", text, re.MULTILINE)
    assert len(commands) >= 4
    read = []
    with grpc.insecure_channel(bootstrap) as channel:
        for body, address, name in commands:
            assert address == EVERYWHERE
            service, _, method = name.partition("/")
            described = SERVICES[service].methods_by_name[method]
            call: Any = channel.unary_stream if described.server_streaming else channel.unary_unary
            request: Any = json_format.Parse(body, GetMessageClass(described.input_type)())
            answer = call(
                f"/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(described.output_type).FromString,
            )(request, timeout=TIMEOUT_S)
            if described.server_streaming:
                read += [(record.key, record.value) for some in answer for record in some.records]
            elif method == "Publish":
                assert not answer.results[0].HasField("error")
    assert read == [(b"bike-1", b"out")]


def pieces(page: Path) -> list[tuple[int, str]]:
    """Line number and text of the page's Python."""
    text = page.read_text()
    return [
        (text.count("\n", 0, found.start(1)) + 1, found.group(1))
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ]


def compiled(piece: str, page: Path, line: int) -> CodeType:
    """With await allowed outside of functions; errors show the line of the page."""
    code: CodeType = compile(
        "\n" * (line - 1) + piece, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    return code


async def run(piece: CodeType, names: dict[str, Any]) -> None:
    """A piece that awaits runs in the loop; one that does not, in a thread, as a script does."""
    if piece.co_flags & inspect.CO_COROUTINE:
        await eval(piece, names)
    else:
        await asyncio.to_thread(exec, piece, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_python_of_a_page(
    bootstrap: str, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each piece runs as it stands; only the address differs. What it claims, it asserts."""
    names: dict[str, Any] = {"__name__": "__main__"}
    tried = 0
    for line, piece in pieces(page):
        if piece.startswith(NOT_RUN):
            assert len(piece.partition("\n")[0]) > len(NOT_RUN) + 10, (
                f"{page.name}:{line}: why not?"
            )
            compiled(piece, page, line)
            continue
        async with asyncio.timeout(TIMEOUT_S):
            await run(compiled(piece.replace(EVERYWHERE, bootstrap), page, line), names)
        tried += 1
    assert tried
    capsys.readouterr()
