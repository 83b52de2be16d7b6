"""The image's file system, built step by step from its Containerfile, runs a node.

There is no container runtime here; the layers are overlays over this machine's root, and the entry
point runs in mount and network namespaces of its own, as the image's user.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.fakes.container_build import BuildFailed, ImageBuild, Layer, refusal

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "image" / "Containerfile"
NO_INDEX = (
    "No matching distribution",
    "Could not find a version",
    "NewConnectionError",
    "Connection refused",
    "Temporary failure in name resolution",
    "ReadTimeout",
)

pytestmark = pytest.mark.skipif(bool(refusal()), reason=refusal())


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageBuild, Layer]:
    image = ImageBuild(CONTAINERFILE, ROOT, tmp_path_factory.mktemp("image"))
    try:
        layer = image.run()
    except BuildFailed as failed:
        told = str(failed)
        if any(word in told for word in NO_INDEX):
            pytest.skip(f"no package index: {told.strip().splitlines()[-1]}")
        if "mount:" in told:
            pytest.skip(f"overlays are not permitted: {told.strip().splitlines()[-1]}")
        raise
    return image, layer


def test_nothing_of_the_build_is_left_in_the_image(build: tuple[ImageBuild, Layer]) -> None:
    """The sources stay in the first stage; the last one has the environment, the settings, the
    health check and an empty volume of the node's own."""
    image, layer = build
    user = int(image.stages[-1].one("USER").text.partition(":")[0])
    assert not (layer.upper / "source").exists()
    assert (layer.upper / "opt/streamlog/bin/streamlog").exists()
    assert (layer.upper / "opt/streamlog/ready.py").read_text() == (
        ROOT / "deploy/image/ready.py"
    ).read_text()
    assert (layer.upper / "etc/streamlog/node.toml").exists()
    data = layer.upper / "var/lib/streamlog"
    assert data.stat().st_uid == user
    assert data.stat().st_mode & 0o777 == 0o750
    assert list(data.iterdir()) == []
    packages = layer.upper / "opt/streamlog/lib/python3.11/site-packages"
    assert (packages / "streamlog/py.typed").exists()
    assert not (packages / "tests").exists()


def test_the_entry_point_serves_and_stops(build: tuple[ImageBuild, Layer], tmp_path: Path) -> None:
    """Without any network but loopback: the health check of the image turns good, the node runs as
    the image's user, SIGTERM ends it with code 0, and its log is JSON."""
    image, layer = build
    stage = image.stages[-1]
    user, _, group = stage.one("USER").text.partition(":")
    environment = {**stage.environment(), "STREAMLOG_SERVER_BOOTSTRAP": "true"}
    # A small journal: this is about the image, and its zeros are written each time.
    environment |= {"STREAMLOG_JOURNAL_FILE_BYTES": "1048576"}
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    health = json.loads(stage.one("HEALTHCHECK").text.partition(" CMD ")[2])
    inside = (
        f"chroot {layer.root} /usr/bin/env -i {settings}"
        f" setpriv --reuid {user} --regid {group} --clear-groups"
    )
    signal = stage.one("STOPSIGNAL").text.removeprefix("SIG")
    script = f"""
{layer.mount()} && ip link set lo up || exit 90
{inside} /bin/sh -c 'cd {stage.one("WORKDIR").text} && exec "$0" "$@"' \
  {shlex.join(stage.one("ENTRYPOINT").words())} 2>{tmp_path}/log &
node=$!
for attempt in $(seq 600); do
  {inside} {shlex.join(health)} >{tmp_path}/health && break
  kill -0 $node || exit 91
  sleep 0.1
done
ps -o uid= -p $node >{tmp_path}/uid
kill -{signal} $node
wait $node
"""
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--fork", "--kill-child", "/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    log = (tmp_path / "log").read_text()
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{log}"
    answer = json.loads((tmp_path / "health").read_text())
    assert answer["ready"] is True
    assert (tmp_path / "uid").read_text().strip() == user
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "operations_listening"
    assert "node_stopping" in events
    assert events[-1] == "node_stopped"
    written = {path.stat().st_uid for path in (layer.upper / "var/lib/streamlog").rglob("*")}
    assert written == {int(user)}
