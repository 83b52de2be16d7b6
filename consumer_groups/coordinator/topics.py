"""From subscriptions to topics: what names and patterns come to in a version of the catalog.

Invariant: a group never goes back to an older version of the catalog. A coordinator that has just
moved to a node whose metadata lags is refused (STALE_CATALOG) until it has caught up; otherwise it
would take new topics for deleted ones, and forget their positions.
"""

from __future__ import annotations

from consumer_groups.coordinator.draft import Draft
from consumer_groups.coordinator.state import Group
from consumer_groups.errors import GroupError, Reason
from consumer_groups.limits import (
    PARTITIONS_PER_GROUP_MAX,
    PATTERNS_PER_GROUP_MAX,
    TOPICS_PER_GROUP_MAX,
)
from consumer_groups.patterns import compile_pattern
from consumer_groups.records import (
    Forgotten,
    OffsetsForgotten,
    PartitionsFenced,
    PatternMatches,
    TopicsResolved,
)
from consumer_groups.types import (
    Subscription,
    TopicCatalog,
    TopicId,
    TopicPartition,
    TopicView,
)


def check_catalog(group: Group, catalog: TopicCatalog) -> None:
    """Raises STALE_CATALOG."""
    if catalog.version < group.catalog_version:
        raise GroupError(
            Reason.STALE_CATALOG,
            f"version {catalog.version} of the metadata is too old: group {group.name} has seen"
            f" {group.catalog_version}",
            {"value": str(catalog.version), "minimum": str(group.catalog_version)},
        )


def check_topics_exist(
    subscription: Subscription, before: Subscription, catalog: TopicCatalog
) -> None:
    """Topics that are newly named must exist; one may well be deleted later. Raises
    UNKNOWN_TOPIC."""
    for name in subscription.topics:
        if name not in catalog.by_name and name not in before.topics:
            raise GroupError(
                Reason.UNKNOWN_TOPIC,
                f"topic {name[:249]!a} does not exist: it was never created, was deleted, or"
                f" is newer than version {catalog.version} of the metadata",
                {"topic": ascii(name[:249])},
            )


def resolve(draft: Draft, catalog: TopicCatalog) -> bool:
    """Look all subscriptions up; true when the topics changed.

    Raises STALE_CATALOG, INVALID_PATTERN, TOO_MANY_PATTERNS, TOO_MANY_TOPICS,
    TOO_MANY_PARTITIONS.
    """
    group = draft.group
    check_catalog(group, catalog)
    names, patterns = _wanted(group)
    if len(patterns) > PATTERNS_PER_GROUP_MAX:
        raise GroupError(
            Reason.TOO_MANY_PATTERNS,
            f"group {group.name} would have {len(patterns)} different patterns: at most"
            f" {PATTERNS_PER_GROUP_MAX} are allowed",
            {"value": str(len(patterns)), "maximum": str(PATTERNS_PER_GROUP_MAX)},
        )
    same_version = catalog.version == group.catalog_version
    matches = {
        pattern: group.patterns[pattern]
        if same_version and pattern in group.patterns
        else _matching(pattern, catalog)
        for pattern in patterns
    }
    views = {catalog.by_name[n].topic_id: catalog.by_name[n] for n in names if n in catalog.by_name}
    for ids in matches.values():
        views.update((topic_id, catalog.by_id[topic_id]) for topic_id in ids)
    _check_size(group, views)
    topics_changed = views != group.topics
    if topics_changed or matches != group.patterns or (patterns and not same_version):
        draft.emit(_resolved(group, catalog.version, views, matches))
    return topics_changed


def narrow(draft: Draft) -> None:
    """Drop topics and patterns that no member wants any more."""
    group = draft.group
    names, patterns = _wanted(group)
    matches = {p: ids for p, ids in group.patterns.items() if p in patterns}
    matched = {topic_id: None for ids in matches.values() for topic_id in ids}
    views = {
        topic_id: view
        for topic_id, view in group.topics.items()
        if view.name in names or topic_id in matched
    }
    if views != group.topics or matches != group.patterns:
        draft.emit(_resolved(group, group.catalog_version, views, matches))


def take_catalog(draft: Draft, catalog: TopicCatalog) -> bool:
    """Bring the group to a version of the catalog; true when the members' topics changed.

    Partitions of deleted topics are fenced at once: nobody waits for them to be given up, as
    nobody will own them again. Their positions are forgotten.
    """
    changed = resolve(draft, catalog)
    group = draft.group
    deleted = [p for p in group.owners if p.topic_id not in catalog.by_id]
    if deleted:
        draft.emit(PartitionsFenced(group.name, tuple(sorted(deleted))))
    forgotten = [
        TopicPartition(topic_id, number)
        for topic_id in sorted(group.commits)
        if topic_id not in catalog.by_id
        for number in sorted(group.commits[topic_id])
    ]
    if forgotten:
        draft.emit(OffsetsForgotten(group.name, tuple(forgotten), Forgotten.TOPIC_DELETED))
    return changed or bool(deleted)


def _wanted(group: Group) -> tuple[dict[str, None], list[str]]:
    """Names and patterns of all members."""
    subscriptions = dict.fromkeys(member.info.subscription for member in group.members.values())
    names = {name: None for subscription in subscriptions for name in subscription.topics}
    patterns = dict.fromkeys(s.pattern for s in subscriptions if s.pattern)
    return names, sorted(patterns)


def _matching(text: str, catalog: TopicCatalog) -> tuple[TopicId, ...]:
    pattern = compile_pattern(text)
    return tuple(
        sorted(view.topic_id for name, view in catalog.by_name.items() if pattern.matches(name))
    )


def _resolved(
    group: Group,
    version: int,
    views: dict[TopicId, TopicView],
    matches: dict[str, tuple[TopicId, ...]],
) -> TopicsResolved:
    return TopicsResolved(
        group.name,
        version,
        tuple(views[topic_id] for topic_id in sorted(views)),
        tuple(PatternMatches(pattern, matches[pattern]) for pattern in sorted(matches)),
    )


def _check_size(group: Group, views: dict[TopicId, TopicView]) -> None:
    if len(views) > TOPICS_PER_GROUP_MAX:
        raise GroupError(
            Reason.TOO_MANY_TOPICS,
            f"the subscriptions of group {group.name} come to {len(views)} topics: at most"
            f" {TOPICS_PER_GROUP_MAX} are allowed",
            {"value": str(len(views)), "maximum": str(TOPICS_PER_GROUP_MAX)},
        )
    partitions = sum(view.partition_count for view in views.values())
    if partitions > PARTITIONS_PER_GROUP_MAX:
        raise GroupError(
            Reason.TOO_MANY_PARTITIONS,
            f"the subscriptions of group {group.name} come to {partitions} partitions: at most"
            f" {PARTITIONS_PER_GROUP_MAX} are allowed",
            {"value": str(partitions), "maximum": str(PARTITIONS_PER_GROUP_MAX)},
        )
