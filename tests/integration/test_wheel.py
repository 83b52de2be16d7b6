"""What is installed from the wheel: the client with little, the server with its extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.fakes.node_processes import nodes

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("streamlog", "replication", "consumer_groups")
SERVER_MODULES = {
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "prometheus-client": "prometheus_client",
    "pydantic": "pydantic",
    "rich": "rich",
    "structlog": "structlog",
    "typer": "typer",
    "uvloop": "uvloop",
}
"""What only nodes and the command line need: module by distribution."""
NO_INDEX = re.compile(
    r"No matching distribution|Could not find a version|NewConnectionError|Connection refused"
    r"|Name or service not known|Temporary failure in name resolution|ReadTimeout",
    re.IGNORECASE,
)


def distribution(requirement: str) -> str:
    """Name in a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found.group().lower()


def run(*command: str | Path, input_: str = "") -> subprocess.CompletedProcess[str]:
    """In a directory and an environment that have nothing of the checkout."""
    return subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "GRPC_VERBOSITY": "NONE"},
        input=input_,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as a release is, with the backend that the development tools pin."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, ROOT],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (built,) = target.glob("*.whl")
    return built


def installed(directory: Path, requirement: str) -> Path:
    """The interpreter of a new environment with the requirement; skips without an index."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin" / "python"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
            *("--disable-pip-version-check", "--retries", "1", requirement),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def client(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application's environment: the wheel, and what it requires."""
    return installed(tmp_path_factory.mktemp("client"), str(wheel))


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's environment."""
    return installed(tmp_path_factory.mktemp("server"), f"{wheel}[server]")


def test_the_list_of_what_only_servers_need_is_that_of_the_project() -> None:
    """A new dependency of nodes must be looked for below."""
    extra = {distribution(each) for each in PROJECT["optional-dependencies"]["server"]}
    assert extra == set(SERVER_MODULES)
    assert not extra & {distribution(each) for each in PROJECT["dependencies"]}


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Every module of the packages, generated code and its types, and the marks of typed packages;
    no test, benchmark, simulator or example."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(tracked) <= names
    information = f"{wheel.name.split('-')[0]}-{PROJECT['version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, information}
    for package in ("streamlog", "replication"):
        assert f"{package}/py.typed" in names
    generated = {name for name in names if "_pb2.py" in name}
    for name in (n for n in generated if n.endswith(".py")):
        assert f"{name}i" in generated
    assert "streamlog/v1/log_service_pb2.py" in generated
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]


def test_the_metadata_asks_clients_for_little(wheel: Path) -> None:
    """Required is what the project says, the rest only with the extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    required = metadata.get_all("Requires-Dist") or []
    without = {distribution(each) for each in required if "extra ==" not in each}
    assert without == {distribution(each) for each in PROJECT["dependencies"]}
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["Name"] == PROJECT["name"]


def test_the_client_needs_nothing_of_the_server(client: Path) -> None:
    """`import streamlog.client` works with what the wheel requires; nothing of a node is installed,
    loaded, or there to be loaded by accident."""
    code = f"""
import importlib.util, sys
import streamlog.client
from streamlog.client import Consumer, Producer
assert "site-packages" in streamlog.client.__file__, streamlog.client.__file__
for module in {sorted(SERVER_MODULES.values())}:
    assert module not in sys.modules, module
    assert importlib.util.find_spec(module) is None, module
loaded = {{tuple(name.split(".")[:2]) for name in sys.modules}}
for part in ("server", "broker", "cluster", "storage", "host", "cli", "gateway"):
    assert ("streamlog", part) not in loaded, part
assert not {{first for first, *_ in loaded}} & {{"replication", "consumer_groups"}}
"""
    done = run(client, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("server", "--bootstrap")])
def test_the_command_without_the_extra_says_what_to_install(
    client: Path, arguments: tuple[str, ...]
) -> None:
    """One line and exit code 1, whatever is asked."""
    done = run(client.parent / "streamlog", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the command line needs ")
    assert line.endswith("pip install 'streamlog-platform[server]'")


def test_the_command_with_the_extra_works(server: Path) -> None:
    """Help of a node, the version, and a check of settings: the modules behind are there."""
    command = server.parent / "streamlog"
    done = run(command, "server", "--help")
    assert done.returncode == 0, done.stderr
    assert "--operations-bind" in done.stdout
    done = run(command, "--version")
    assert done.stdout.strip() == f"streamlog/{PROJECT['version']}"
    done = run(command, "config", "check", ROOT / "deploy" / "node.toml")
    assert done.returncode == 0, done.stderr
    done = run(server, "-c", "import streamlog.cli.node.process, streamlog.server.node")
    assert done.returncode == 0, done.stderr


def test_a_client_of_the_wheel_talks_to_a_node_of_the_checkout(
    client: Path, tmp_path: Path
) -> None:
    """It produces a record and consumes it."""
    code = """
import asyncio, sys
from streamlog.client import Consumer, Producer

async def main(address: str) -> None:
    async with Producer(address) as producer:
        sent = await producer.send("orders", b"one", key=b"k")
    async with Consumer(address) as consumer:
        consumer.assign([("orders", sent.partition)])
        records = []
        while not records:
            polled = await consumer.getmany(timeout_ms=1_000)
            records = [record for some in polled.values() for record in some]
    assert [(r.key, r.value, r.offset) for r in records] == [(b"k", b"one", sent.offset)], records
    print("same")

asyncio.run(main(sys.argv[1]))
"""
    with nodes(tmp_path, 1) as (node,):
        node.start()
        node.until_healthy()
        node.create_topic("orders", 2, 1)
        done = run(client, "-c", code, node.address)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "same\n"
        assert node.stop() == 0
