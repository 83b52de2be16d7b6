"""The sealed file of the cluster layer."""

from __future__ import annotations

import pytest

from jepsen_like.sim.ports.disk import SimDisk
from replication.errors import StorageFailed
from replication.types import Offset
from streamlog.cluster.local_state import PATH, LocalStateFile


async def test_what_was_saved_is_loaded() -> None:
    """By the next process."""
    disk = SimDisk()
    await LocalStateFile(disk).save(created_through=Offset(7))
    file = LocalStateFile(disk)
    await file.load()
    assert file.state.created_through == 7


async def test_damage_is_refused_in_words_that_operators_see() -> None:
    """A node that does not know which replicas must be here does not start, and says why."""
    disk = SimDisk()
    await LocalStateFile(disk).save(created_through=Offset(7))
    disk.flip_bits(PATH, 25)
    with pytest.raises(StorageFailed, match=r"cluster\.state: the checksum does not match"):
        await LocalStateFile(disk).load()
