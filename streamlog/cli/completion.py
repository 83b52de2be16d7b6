"""What a shell offers on Tab: topics and groups of the cluster, profiles, settings.

Whatever goes wrong, nothing is offered and nothing is said: somebody is typing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final

import typer

from streamlog.cli import profiles
from streamlog.cli.failure import CommandFailed
from streamlog.cli.target import Target, resolve_target
from streamlog.cli.topics.names import names_of
from streamlog.model.settings.topic import TOPIC_SETTINGS

Names = Callable[[Target], Awaitable[list[str]]]

CLUSTER_TIMEOUT_S: Final = 0.5
"""Longest time that somebody who typed Tab waits for the cluster."""


def complete_topics(context: typer.Context, incomplete: str) -> list[str]:
    """Topics of the cluster that the command line names so far."""
    taken = context.params.get("topics") or ()
    names = _asked(context, names_of)
    return [name for name in names if name.startswith(incomplete) and name not in taken]


def complete_groups(context: typer.Context, incomplete: str) -> list[str]:
    """Consumer groups of the cluster that the command line names so far."""
    return [name for name in _asked(context, groups_of) if name.startswith(incomplete)]


async def groups_of(target: Target) -> list[str]:
    """Every consumer group of the cluster. Raises ClientError."""
    from streamlog.client import Admin

    async with Admin(target.bootstrap) as admin:
        return [group.name for group in await admin.list_groups()]


def _asked(context: typer.Context, names: Names) -> list[str]:
    given = context.params
    try:
        target = resolve_target(given.get("bootstrap"), given.get("profile"), os.environ)
        return asyncio.run(_within(target, names))
    except Exception:
        return []


async def _within(target: Target, names: Names) -> list[str]:
    """Raises TimeoutError, OSError, ClientError."""
    import streamlog.client  # its import is no delay of the cluster's

    del streamlog
    async with asyncio.timeout(CLUSTER_TIMEOUT_S):
        host, _, port = target.addresses[0].rpartition(":")
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
        return await names(target)


def complete_profiles(incomplete: str) -> list[str]:
    """Names of profiles."""
    try:
        known = profiles.load(profiles.profiles_file(os.environ)).bootstraps
    except CommandFailed:
        return []
    return [name for name in sorted(known) if name.startswith(incomplete)]


def complete_settings(incomplete: str) -> list[str]:
    """Keys of topic settings with their equals sign."""
    return [f"{key}=" for key in sorted(TOPIC_SETTINGS) if key.startswith(incomplete)]


def complete_keys(incomplete: str) -> list[str]:
    """Keys of topic settings."""
    return [key for key in sorted(TOPIC_SETTINGS) if key.startswith(incomplete)]
