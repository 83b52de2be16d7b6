"""Both systems, one after the other: three nodes or brokers on loopback, replication 3."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.groups.changes import Figures, Plan, measure_changes
from benchmarks.groups.kafka import (
    BROKER_SETTINGS,
    CLASSIC,
    NEW,
    NEW_FASTEST,
    SESSION_MS,
    KafkaGroups,
    Variant,
)
from benchmarks.groups.platform import PlatformGroups
from benchmarks.groups.report import report
from benchmarks.peers.kafka import KafkaCluster, PeerUnavailable, jars
from streamlog.cli.node.local_cluster import LocalCluster
from streamlog.client import Admin, Producer

CACHE = Path("var") / "cache"
LEADERS_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class GroupsPlan:
    """What is done at each system."""

    ours: Sequence[Plan]
    peers: Sequence[Plan]
    """With as many members as ours."""
    variants: Sequence[Variant]

    def of(self, members: int) -> GroupsPlan:
        """Only the groups with so many members."""
        return replace(
            self,
            ours=[each for each in self.ours if each.members == members],
            peers=[each for each in self.peers if each.members == members],
        )


GROUPS_FULL = GroupsPlan(
    ours=[
        Plan(members, 1_000, arrivals=3, with_deaths=True, with_commits=True)
        for members in (10, 100)
    ],
    peers=[
        Plan(members, 1_000, arrivals=1, with_deaths=True, with_commits=True)
        for members in (10, 100)
    ],
    variants=[NEW, NEW_FASTEST, CLASSIC],
)
GROUPS_QUICK = GroupsPlan(
    ours=[Plan(10, 100, arrivals=2, with_deaths=False, with_commits=False)],
    peers=[Plan(10, 100, arrivals=1, with_deaths=False, with_commits=False)],
    variants=[NEW],
)


async def measure_groups(directory: Path, plan: GroupsPlan, *, with_peer: bool) -> list[str]:
    """What to print."""
    print("groups: running this platform …", file=sys.stderr, flush=True)
    ours = await _platform(directory / "groups", plan.ours)
    peers: list[dict[str, Figures | str]] = [{} for _ in plan.peers]
    said: list[str] = []
    if with_peer:
        try:
            print("groups: running Kafka …", file=sys.stderr, flush=True)
            libs = await asyncio.to_thread(jars, CACHE)
            peers = await _kafka(libs, directory / "groups-kafka", plan)
        except PeerUnavailable as error:
            said.append(f"no peer figures: {error}")
    for each, figures, others in zip(plan.ours, ours, peers, strict=True):
        title = f"group of {each.members}, {each.partitions:,} partitions, session {SESSION_MS} ms"
        if isinstance(figures, Figures):
            said.append(report(title, figures, others))
        else:
            said.append(f"{title}: {figures}")
    return said


def _progress(what: str, figures: Figures | str) -> None:
    """So that a run that is given up has said something."""
    if isinstance(figures, Figures):
        seconds = {name: [round(t.seconds, 3) for t in took] for name, took in figures.took.items()}
        figures = f"{seconds}, {figures.commits_per_s} commits/s"
    print(f"groups: {what}: {figures}", file=sys.stderr, flush=True)


async def _platform(directory: Path, plans: Sequence[Plan]) -> list[Figures | str]:
    cluster = LocalCluster(directory, nodes=3)
    found: list[Figures | str] = []
    try:
        await cluster.start()
        async with Admin(cluster.bootstrap) as admin, Producer(cluster.bootstrap) as producer:
            for plan in plans:
                name = f"group-of-{plan.members}"
                await _create(admin, name, plan.partitions)
                await producer.writer(name)
                system = PlatformGroups(cluster.bootstrap, producer, SESSION_MS)
                try:
                    found.append(await measure_changes(system, name, name, plan, directory))
                except RuntimeError as error:
                    found.append(f"gave up: {str(error)[:300]}")
                if system.failures:
                    raise system.failures[0]
                _progress(f"{plan.members} members, ours", found[-1])
                await admin.delete_topic(name)
    finally:
        cluster.kill_all()
    return found


async def _create(admin: Admin, topic: str, partitions: int) -> None:
    await admin.create_topic(topic, partitions=partitions, replication_factor=3)
    deadline = time.monotonic() + LEADERS_WITHIN_S
    while not all(each.leader_node_id for each in (await admin.describe_topic(topic)).partitions):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{topic} had no leaders within {LEADERS_WITHIN_S:.0f} s")
        await asyncio.sleep(0.1)


async def _kafka(libs: Path, directory: Path, plan: GroupsPlan) -> list[dict[str, Figures | str]]:
    found: list[dict[str, Figures | str]] = []
    cluster = KafkaCluster(libs, directory, settings=BROKER_SETTINGS)
    await asyncio.to_thread(cluster.__enter__)
    try:
        for each in plan.peers:
            figures: dict[str, Figures | str] = {}
            for number, variant in enumerate(plan.variants):
                name = f"group-of-{each.members}-{number}"
                await asyncio.to_thread(cluster.create_topic, name, each.partitions)
                system = KafkaGroups(cluster.bootstrap, variant)
                await asyncio.to_thread(system.prepare, name)
                try:
                    figures[variant.name] = await measure_changes(
                        system, name, name, each, directory
                    )
                except RuntimeError as error:
                    figures[variant.name] = f"gave up: {str(error)[:300]}"
                _progress(f"{each.members} members, {variant.name}", figures[variant.name])
                await asyncio.to_thread(system.close)
                await asyncio.to_thread(cluster.delete_topic, name)
            found.append(figures)
    finally:
        cluster.stop()
    return found
