"""What a shell offers on Tab: topics of the cluster, profiles, settings.

Whatever goes wrong, nothing is offered and nothing is said: somebody is typing.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

import typer

from streamlog.cli import profiles
from streamlog.cli.failure import CommandFailed
from streamlog.cli.target import Target, resolve_target
from streamlog.cli.topics.names import names_of
from streamlog.model.settings.topic import TOPIC_SETTINGS

CLUSTER_TIMEOUT_S: Final = 0.5
"""Longest time that somebody who typed Tab waits for the cluster."""


def complete_topics(context: typer.Context, incomplete: str) -> list[str]:
    """Topics of the cluster that the command line names so far."""
    given = context.params
    try:
        target = resolve_target(given.get("bootstrap"), given.get("profile"), os.environ)
        names = asyncio.run(_within(target))
    except Exception:
        return []
    taken = given.get("topics") or ()
    return [name for name in names if name.startswith(incomplete) and name not in taken]


async def _within(target: Target) -> list[str]:
    """Raises TimeoutError, OSError, ClientError."""
    import streamlog.client  # its import is no delay of the cluster's

    del streamlog
    async with asyncio.timeout(CLUSTER_TIMEOUT_S):
        host, _, port = target.addresses[0].rpartition(":")
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
        return await names_of(target)


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
