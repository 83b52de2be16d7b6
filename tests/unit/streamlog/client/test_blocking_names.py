"""The blocking client has the names of the other one, but for those that docs/client.md tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlog import client
from streamlog.client import sync

PAGE = Path(__file__).parents[4] / "docs" / "client.md"
WITHOUT = {
    "Admin": set[str](),
    "Producer": {"refresh_soon", "room", "writer"},
    "Consumer": {"batches", "next_records", "stored_batches"},
}
OF_PARTS = {
    "Admin": set[str](),
    "Producer": {"start"},  # entering does it
    "Consumer": {"end", "lease", "listen", "take_back"},  # for the worker and the blocking face
}


def names(of: type) -> set[str]:
    """Public ones."""
    return {name for name in dir(of) if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_names_are_the_same(name: str) -> None:
    """What is missing is named on the page's first lines, and nothing else is missing."""
    plain, blocking = names(getattr(client, name)), names(getattr(sync, name))
    assert plain - blocking == WITHOUT[name] | OF_PARTS[name]
    assert blocking <= plain
    head = PAGE.read_text().partition("```")[0]
    assert [missing for missing in sorted(WITHOUT[name]) if f"`{missing}`" not in head] == []
