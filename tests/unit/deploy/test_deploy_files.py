"""The files that operators start from are right in themselves and agree with each other."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streamlog.cli.failure import EXIT_USAGE
from streamlog.cli.node.resolved_settings import problems, resolve, unknown_variables
from streamlog.cli.node.settings import flag_of
from streamlog.cli.node.settings_file import read_file
from streamlog.host.process import CONNECTION_DESCRIPTORS
from streamlog.model.settings.node import NODE_SETTINGS
from tests.fakes.containerfile import Stage, read_stages

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
NODE_TOML = DEPLOY / "node.toml"
UNIT = DEPLOY / "systemd" / "streamlog.service"
SERVER_OPTIONS = {"--config", "--data-dir", "--log-format", "--log-level"} | {
    flag_of(key) for key in NODE_SETTINGS
}


# The shared settings.


def test_the_shared_settings_are_right() -> None:
    """The check that operators run finds nothing; nothing in it says who a node is."""
    assert problems({}, {}, NODE_TOML) == []
    texts = read_file(NODE_TOML)
    own = {"node.id", "advertised", "controllers", "bootstrap", "rack", "insecure"}
    assert not own & set(texts)
    assert resolve({}, {}, NODE_TOML).config.operations_bind.startswith("127.0.0.1:")


# systemd.


def unit() -> dict[str, dict[str, str]]:
    """Directives by section; none is given twice."""
    sections: dict[str, dict[str, str]] = {}
    for line in UNIT.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
            continue
        name, equals, value = line.partition("=")
        assert equals, line
        assert name not in section, f"{name} is given twice"
        section[name] = value
    return sections


def test_the_unit_starts_what_the_command_line_has() -> None:
    """Its command takes the options it is given, with the files that the other directives make."""
    service = unit()["Service"]
    command, kind, *options = service["ExecStart"].split()
    assert (command, kind) == ("/opt/streamlog/bin/streamlog", "server")
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert set(given) <= SERVER_OPTIONS
    assert given["--config"] == "/etc/streamlog/node.toml"
    assert given["--data-dir"] == f"/var/lib/{service['StateDirectory']}"
    assert given["--log-format"] == "json"
    assert service["EnvironmentFile"] == "-/etc/streamlog/node.env"


def test_the_unit_waits_for_a_stop_and_does_not_repeat_what_can_not_work() -> None:
    """Longer than the hand-over; settings that are wrong do not start again and again; enough
    descriptors for what the settings ask."""
    service, config = unit()["Service"], resolve({}, {}, NODE_TOML).config
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) * 1_000 >= 2 * config.shutdown_handover_ms
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == str(EXIT_USAGE)
    assert int(service["LimitNOFILE"]) >= config.open_files + CONNECTION_DESCRIPTORS
    assert service["User"] not in {"", "root"}
    for directive in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateDevices"):
        assert service[directive] == "true"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert unit()["Install"] == {"WantedBy": "multi-user.target"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """Every directive is known and has a value that it takes; only the command is another one,
    because it has to exist."""
    text = UNIT.read_text().replace("/opt/streamlog/bin/streamlog", shutil.which("true") or "")
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert told == []


def test_the_variables_of_a_node_are_settings() -> None:
    """The example of node.env is a node that could start, with the shared file."""
    lines = (DEPLOY / "systemd" / "node.env").read_text().splitlines()
    variables = dict(
        line.split("=", 1) for line in lines if line.strip() and not line.startswith("#")
    )
    assert unknown_variables(variables) == []
    config = resolve({}, variables, NODE_TOML).config
    assert config.is_controller
    assert config.bootstrap


# The image.


@pytest.fixture
def image() -> Stage:
    """Its last stage."""
    build, last = read_stages(DEPLOY / "image" / "Containerfile")
    assert build.base == last.base
    assert re.search(r"python:3\.11-", last.base)
    return last


def test_the_image_runs_a_node_and_no_root(image: Stage) -> None:
    """Its entry point takes the shared file, its health check is there, its user has a number that
    owns the volume, and SIGTERM ends it."""
    entry = image.one("ENTRYPOINT").words()
    assert entry == [
        "/opt/streamlog/bin/streamlog",
        "server",
        "--config",
        "/etc/streamlog/node.toml",
    ]
    copies = [each.words() for each in image.all("COPY")]
    assert ["deploy/node.toml", "/etc/streamlog/node.toml"] in copies
    assert ["deploy/image/ready.py", "/opt/streamlog/ready.py"] in copies
    user, _, group = image.one("USER").text.partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user} " in " ".join(each.text for each in image.all("RUN"))
    assert image.one("STOPSIGNAL").text == "SIGTERM"
    assert image.one("VOLUME").text == image.environment()["STREAMLOG_DATA_DIR"]
    names = [each.name for each in image.instructions]
    assert names.index("USER") > max(n for n, name in enumerate(names) if name in {"RUN", "COPY"})


def test_the_image_names_ports_and_variables_that_exist(image: Stage) -> None:
    """Exposed are the ports of the shared file; what it sets, and what its comments and the
    README tell of, are variables that are read."""
    config = resolve({}, {}, NODE_TOML).config
    bound = {config.bind, config.operations_bind}
    ports = {address.rpartition(":")[2] for address in bound} | {str(config.peer_port)}
    assert set(image.one("EXPOSE").words()) == ports
    assert unknown_variables(image.environment()) == []
    for page in (DEPLOY / "image" / "Containerfile", DEPLOY / "README.md"):
        named = set(re.findall(r"STREAMLOG_[A-Z_]+[A-Z]", page.read_text()))
        assert unknown_variables(dict.fromkeys(named, "x")) == [], page.name


def test_everything_that_the_image_copies_is_here_and_not_ignored() -> None:
    """Sources of COPY exist and pass the filter of the build's context."""
    ignore = (DEPLOY / "image" / "Containerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    sources = {
        source
        for stage in read_stages(DEPLOY / "image" / "Containerfile")
        for each in stage.all("COPY")
        if not each.text.startswith("--from")
        for source in each.words()[:-1]
    }
    assert sources == allowed
    for source in sources:
        assert (ROOT / source).exists(), source


# The health check.


class _Node(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b'{"reasons": ["as told"]}')

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Node)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_asks_the_node(
    port: int, status: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready is 0, everything else 1, with what the node said; an address for everybody is asked
    here, and no proxy is."""
    monkeypatch.setattr(_Node, "status", status)
    for address in (f"127.0.0.1:{port}", f"0.0.0.0:{port}"):
        done = run_ready(address)
        assert (done.returncode, done.stdout.strip()) == (code, '{"reasons": ["as told"]}')
    nobody = run_ready("127.0.0.1:9")
    assert nobody.returncode == 1
    assert "refused" in nobody.stdout


def run_ready(address: str) -> subprocess.CompletedProcess[str]:
    """As the image does, in the environment of a container."""
    python = shutil.which("python3")
    assert python is not None
    return subprocess.run(
        [python, "-I", str(DEPLOY / "image" / "ready.py")],
        env={"STREAMLOG_OPERATIONS_BIND": address, "http_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Compose.


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture
def schema() -> Any:
    return json.loads((Path(__file__).parent / "compose.schema.json").read_text())


def test_the_composition_is_of_the_specification(compose: Any, schema: Any) -> None:
    """The part of the specification that it uses, as a schema that refuses every other key."""
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(compose, schema)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("services", "node-1", "enviroment"), {}),
        (("services", "node-1", "stop_grace_period"), "60"),
        (("services", "node-1", "healthcheck", "intervall"), "5s"),
        (("services", "node-1", "environment", "STREAMLOG_NODE_ID"), 1),
        (("services", "node-1", "volumes"), ["/var/lib/streamlog"]),
        (("services", "client", "depends_on", "node-1", "condition"), "service_ready"),
        (("volume",), {}),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_the_schema_refuses_mistakes(
    compose: Any, schema: Any, path: tuple[str, ...], value: Any
) -> None:
    """Misspelt keys, forms that a number or a condition does not have."""
    broken = copy.deepcopy(compose)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_the_composition_is_a_cluster(compose: Any, image: Stage) -> None:
    """Three nodes, each with settings that are right with the shared file, its own id, volume and
    ports; all list the same controllers, which are these nodes where they advertise themselves."""
    nodes = {name: s for name, s in compose["services"].items() if name.startswith("node-")}
    configs = {}
    for name, service in nodes.items():
        assert unknown_variables(service["environment"]) == []
        configs[name] = resolve({}, service["environment"], NODE_TOML).config
    assert [config.node_id for config in configs.values()] == [1, 2, 3]
    controllers = tuple((n, f"node-{n}:9092") for n in (1, 2, 3))
    for name, service in nodes.items():
        config = configs[name]
        assert config.controllers == controllers
        assert config.bootstrap
        assert config.advertised == f"{service['hostname']}:9092" == f"{name}:9092"
        (volume,) = service["volumes"]
        assert volume == f"{name}:{image.one('VOLUME').text}"
        (port,) = service["ports"]
        assert port.startswith("127.0.0.1:")
        assert port.endswith(":" + config.operations_bind.rpartition(":")[2])
        assert seconds(service["stop_grace_period"]) * 1_000 > 2 * config.shutdown_handover_ms
        assert service["ulimits"]["nofile"]["soft"] >= config.open_files + CONNECTION_DESCRIPTORS
    assert len({service["ports"][0] for service in nodes.values()}) == len(nodes)
    assert set(compose["volumes"]) == set(nodes)
    for service in nodes.values():
        assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).exists()


def test_the_composition_checks_health_as_the_image_does(compose: Any, image: Stage) -> None:
    """The same command in the same rhythm; the client waits for all nodes."""
    options, _, command = image.one("HEALTHCHECK").text.partition(" CMD ")
    given = dict(re.findall(r"--([a-z-]+)=(\S+)", options))
    for name, service in compose["services"].items():
        check = service["healthcheck"]
        if not name.startswith("node-"):
            assert set(service["depends_on"]) == set(compose["volumes"])
            continue
        assert check["test"] == ["CMD", *json.loads(command)]
        for key in ("interval", "timeout", "start_period", "retries"):
            assert str(check[key]) == given[key.replace("_", "-")]


def seconds(duration: str) -> int:
    """Of a duration in whole seconds."""
    assert duration.endswith("s")
    return int(duration[:-1])
