"""Which names are the cluster's, and where a group's state is."""

from __future__ import annotations

import pytest

from consumer_groups.types import GroupName
from streamlog.groups.offsets_topic import partition_of
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.internal_topics import CONSUMER_OFFSETS, check_not_internal, is_internal


@pytest.mark.parametrize("name", [CONSUMER_OFFSETS, "__", "__x"])
def test_two_underscores_are_the_clusters(name: str) -> None:
    """The refusal names the topic."""
    assert is_internal(name)
    with pytest.raises(StreamlogError) as refused:
        check_not_internal(name)
    assert refused.value.reason is Reason.INTERNAL_TOPIC
    assert refused.value.metadata == {"topic": name}


@pytest.mark.parametrize("name", ["_x", "x__", "", "consumer_offsets"])
def test_other_names_are_the_users(name: str) -> None:
    """One underscore, or two elsewhere, are anybody's."""
    check_not_internal(name)


def test_a_group_has_one_partition_for_ever() -> None:
    """The function is part of the protocol: clients may compute it, and state lies where it says."""
    assert {partition_of(GroupName(f"g{n}"), 4) for n in range(50)} == {0, 1, 2, 3}
    assert partition_of(GroupName("123456789"), 1_000) == 0xCBF43926 % 1_000
