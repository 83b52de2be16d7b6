"""What a fault is to the nemesis."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

Heal: TypeAlias = Callable[[], None]
"""Undoes a strike."""

Strike: TypeAlias = Callable[[random.Random], Heal | None]
"""Strikes, with a source of randomness of its own; None: there was nothing to strike."""

Fired: TypeAlias = Callable[[str], None]
"""Counts a fault by its name, at the moment at which it takes effect."""
