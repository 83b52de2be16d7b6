"""The log of a server process, as operators read it."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator

import pytest

from streamlog.cli.node import logs
from streamlog.cli.node.logs import Logs


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    gc.collect()  # What earlier tests left may complain while it is collected.
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each event is one line of JSON with its name, values, node, level and time; a traceback
    is part of its event's line; what is below the level is left out."""
    written = Logs("json", "info", 3)
    logger = logging.getLogger("some.part")
    logger.debug("not_shown")
    logger.warning("disk_slow", extra={"latency_ms": 12, "path": "journal/1"})
    try:
        raise KeyError("offset")
    except KeyError:
        logger.exception("handler_failed", extra={"method": "Fetch"})
    written.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["disk_slow", "handler_failed"]
    assert lines[0] | {"timestamp": ""} == {
        "event": "disk_slow",
        "latency_ms": 12,
        "path": "journal/1",
        "node": 3,
        "level": "warning",
        "logger": "some.part",
        "timestamp": "",
    }
    assert "KeyError: 'offset'" in lines[1]["exception"]


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: name and values on a line."""
    written = Logs("text", "info", 1)
    logging.getLogger("part").info("node_started", extra={"address": "127.0.0.1:9092"})
    written.close()
    line = capsys.readouterr().err
    assert "node_started" in line
    assert "address=127.0.0.1:9092" in line
    assert "\x1b" not in line


def test_nobody_waits_for_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the writing thread is behind by the limit, events are dropped and counted."""
    monkeypatch.setattr(logs, "EVENTS_WAITING_MAX", 10)
    written = Logs("json", "info", 1)
    written._listener.stop()
    for number in range(25):
        logging.getLogger("part").info("event", extra={"number": number})
    assert written._handler.dropped == 15
    written._listener.start()
    written.close()
    assert capsys.readouterr().err.count('"event": "event"') >= 10
