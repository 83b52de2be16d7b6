"""Settings that change while a node runs: all that may, or none."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from streamlog.broker.budget import ByteBudget
from streamlog.model.errors import StreamlogError
from streamlog.model.settings.live import LiveSettings
from streamlog.model.settings.node import NODE_SETTINGS, NodeConfig

CONFIG = NodeConfig(bind="127.0.0.1:7000", default_replication_factor=3)


def test_what_may_change_does() -> None:
    """Listeners hear the whole; what needs a restart is named and stays."""
    settings = LiveSettings(CONFIG)
    heard: list[NodeConfig] = []
    settings.on_change(heard.append)
    wanted = replace(CONFIG, default_partitions=12, journal_files=20, retention_check_ms=500)
    change = settings.apply(wanted)
    assert change.changed == {"default.partitions": "12", "retention.check.ms": "500"}
    assert change.need_restart == {"journal.files": "20"}
    assert settings.now == replace(CONFIG, default_partitions=12, retention_check_ms=500)
    assert heard == [settings.now]


def test_nothing_new_is_nothing() -> None:
    """The same file again tells nobody."""
    settings = LiveSettings(CONFIG)
    settings.on_change(lambda _: pytest.fail("nothing changed"))
    assert settings.apply(CONFIG).changed == {}
    assert settings.now is CONFIG


def test_identity_and_addresses_never_change() -> None:
    """They are what others know the node by."""
    fixed = {"node.id", "bind", "advertised", "controllers", "rack", "insecure", "bootstrap"}
    assert not [key for key in fixed if NODE_SETTINGS[key].live]
    assert NODE_SETTINGS["disk.reserve.bytes"].live


def test_a_wrong_value_changes_nothing() -> None:
    """It does not even become a NodeConfig."""
    settings = LiveSettings(CONFIG)
    with pytest.raises(StreamlogError, match=r"default\.partitions"):
        settings.apply(replace(CONFIG, default_partitions=0))
    assert settings.now is CONFIG


async def test_a_larger_budget_lets_waiters_in() -> None:
    """At once, not when something is given back."""
    budget = ByteBudget(10)
    await budget.take(8)
    waiter = asyncio.ensure_future(budget.take(5))
    await asyncio.sleep(0)
    assert not waiter.done()
    budget.set_limit(20)
    await asyncio.wait_for(waiter, 60)
    assert budget.used == 13


def test_the_live_settings_are_these() -> None:
    """Each is asked for at each use, or listened to; another one would silently change nothing."""
    assert sorted(key for key, setting in NODE_SETTINGS.items() if setting.live) == [
        "balance.leaders",
        "balance.replicas",
        "connection.inflight.bytes",
        "default.partitions",
        "default.replication.factor",
        "disk.reserve.bytes",
        "fetch.buffer.bytes",
        "groups.alarm.no.progress.ms",
        "groups.alarm.unowned.ms",
        "groups.offset.retention.ms",
        "groups.survey.ms",
        "leader.return.ms",
        "move.bytes.per.second",
        "node.inflight.bytes",
        "request.timeout.ms",
        "retention.check.ms",
        "scrub.bytes.per.second",
        "scrub.interval.ms",
        "shutdown.handover.ms",
    ]
