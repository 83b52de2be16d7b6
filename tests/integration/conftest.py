"""What all tests on real nodes have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def retention_is_not_due() -> Iterator[None]:
    """Nodes let nothing go while a test goes on: many write records with old timestamps. Tests of
    retention set the variable themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMLOG_RETENTION_CHECK_MS", "3600000")
        yield
