"""The topics of the cluster, in the form that coordinators are told of them.

Topics of the cluster's own are left out: no group reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from consumer_groups.types import TopicCatalog, TopicId, TopicView
from streamlog.cluster.metadata.state import Topic
from streamlog.cluster.view import ClusterView
from streamlog.model.internal_topics import is_internal


def same_topics(one: TopicCatalog, other: TopicCatalog) -> bool:
    """Nothing changed in between, apart from the version."""
    return one.by_name is other.by_name


class Catalogs:
    """Makes a catalog of the metadata that is applied here; anew only when topics changed."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._topics: Mapping[int, Topic] | None = None
        self._catalog = TopicCatalog.of(0, ())

    def current(self) -> TopicCatalog:
        """As of now; its version is the end of the metadata that is applied."""
        state = self._view.state
        version = int(self._view.metadata_offset)
        if state is None:
            return self._catalog
        if state.topics is not self._topics:
            self._topics = state.topics
            made = TopicCatalog.of(
                version,
                (
                    TopicView(TopicId(topic.topic_id), topic.name, len(topic.partitions))
                    for topic in state.topics.values()
                    if not is_internal(topic.name)
                ),
            )
            if made.by_name != self._catalog.by_name:
                self._catalog = made
        if self._catalog.version != version:
            self._catalog = replace(self._catalog, version=version)
        return self._catalog

    async def changed(self, since: TopicCatalog) -> TopicCatalog:
        """The catalog, as soon as its topics differ from those of `since`."""
        while same_topics(catalog := self.current(), since):
            await self._view.changed()
        return catalog
