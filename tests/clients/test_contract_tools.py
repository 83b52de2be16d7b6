"""buf finds nothing in proto/, and would find what breaks; a generic client needs no files at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from contract.clients import ROOT, UNREACHABLE, VAR
from contract.toolchains import OTHERS, search_path
from tests.clients.running import Cluster

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
BUILD_SECONDS_MAX = 300.0
CALL_SECONDS_MAX = 60.0
ENVIRONMENT = os.environ | {"PATH": search_path()}


def _need(name: str) -> None:
    missing = next(each for each in OTHERS if each.name == name).missing()
    if missing:
        pytest.skip(f"{name}: {', '.join(tool.name for tool in missing)} missing")


def _without_network(output: str) -> None:
    if UNREACHABLE.search(output):
        pytest.skip(f"it can not be downloaded: {output[-500:]}")


def _buf(proto: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["make", "--no-print-directory", "buf", f"PROTO={proto}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    _without_network(done.stdout + done.stderr)
    return done


def test_buf_finds_nothing() -> None:
    """STANDARD lint, and no change that breaks what proto/baseline.binpb holds."""
    _need("buf")
    done = _buf(ROOT / "proto")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("streamlog/v1/error.proto", "string reason = 2;", "string cause = 2;"),
        ("streamlog/v1/record.proto", "uint32 offset_delta = 4;", "uint32 offset_delta = 9;"),
        ("streamlog/v1/log_service.proto", "  rpc Fetch(stream", "  rpc Pull(stream"),
        ("streamlog/storage/v1/storage.proto", "uint64", "string"),
        ("streamlog/v1/error.proto", "string reason = 2;", "string Reason = 2;"),
    ],
)
def test_buf_would_find_what_breaks(tmp_path: Path, file: str, old: str, new: str) -> None:
    """A field renamed, renumbered or retyped, a call renamed: each is refused."""
    _need("buf")
    proto = tmp_path / "proto"
    shutil.copytree(ROOT / "proto", proto)
    text = (proto / file).read_text()
    assert old in text
    (proto / file).write_text(text.replace(old, new, 1))
    assert _buf(proto).returncode != 0


@pytest.fixture(scope="module")
def grpcurl() -> Path:
    """Built by Go's proxy, at one version."""
    _need("grpcurl")
    program = VAR / "bin" / "grpcurl"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["go", "install", GRPCURL],
            env=ENVIRONMENT | {"GOBIN": str(program.parent), "GOFLAGS": "-buildvcs=false"},
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS_MAX,
            check=False,
        )
        _without_network(done.stderr)
        assert done.returncode == 0, done.stderr
    return program


def test_reflection_serves_a_generic_client(grpcurl: Path, cluster: Cluster) -> None:
    """Everything of examples/README.md that needs no generated code: list, describe, call."""
    address = cluster.addresses[0]

    def ask(*arguments: str, data: object = None) -> str:
        given = ["-d", json.dumps(data)] if data is not None else []
        done = subprocess.run(
            [str(grpcurl), "-plaintext", *given, address, *arguments],
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    services = ask("list").split()
    expected = ("AdminService", "GroupService", "LogService", "RecordService")
    assert {f"streamlog.v1.{name}" for name in expected} <= set(services)
    assert "rpc Subscribe" in ask("describe", "streamlog.v1.RecordService")
    assert "sint64 timestamp_delta_ms = 5;" in ask("describe", "streamlog.v1.Record")
    topic = {"name": "by-reflection", "partition_count": 1}
    ask("streamlog.v1.AdminService/CreateTopic", data=topic)
    record = {"key": "YmlrZS0x", "value": "b3V0"}
    answer = json.loads(
        ask(
            "streamlog.v1.RecordService/Publish",
            data={"topic": "by-reflection", "records": [record]},
        )
    )
    assert "error" not in answer["results"][0]
    subscription = {"topic": "by-reflection", "start": "OFFSET_SPEC_EARLIEST", "until_end": True}
    read = json.loads(ask("streamlog.v1.RecordService/Subscribe", data=subscription))
    assert {name: read["records"][0][name] for name in record} == record
    found = json.loads(ask("streamlog.v1.GroupService/FindCoordinator", data={"group": "g"}))
    assert "leaderTerm" in found or "partition" in found or found == {}
