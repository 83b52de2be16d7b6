"""For all tests: none fails because the machine is busy, and what passed once passes again.

Properties are tried on the same examples in every run. To look for new ones:
`pytest --hypothesis-profile=explore tests/properties`.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", settings.default, deadline=None, derandomize=True)
settings.register_profile("explore", settings.default, deadline=None)
settings.load_profile("repeatable")
