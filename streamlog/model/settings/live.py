"""The settings of a node that runs, some of which may change under it.

Whoever holds a `LiveSettings` asks for `now` each time; a setting that is not `live` is the same
as long as the node runs.

Invariant: `now` is valid as a whole, and changes as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from streamlog.model.settings.node import NODE_SETTINGS, NodeConfig
from streamlog.model.settings.setting import field_of


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What became of new settings. Values are text, by key."""

    changed: dict[str, str]
    """In force now."""
    need_restart: dict[str, str]
    """They differ, and take effect at the next start."""


class LiveSettings:
    """The settings in force."""

    def __init__(self, config: NodeConfig) -> None:
        self._now = config
        self._listeners: list[Callable[[NodeConfig], None]] = []

    @property
    def now(self) -> NodeConfig:
        """All of them, at this moment."""
        return self._now

    def on_change(self, listener: Callable[[NodeConfig], None]) -> None:
        """Call back after each change, with all of them."""
        self._listeners.append(listener)

    def apply(self, wanted: NodeConfig) -> SettingsChange:
        """Take over what may change now. Raises StreamlogError(INVALID_CONFIG), and nothing has
        changed, when the settings do not go with those that stay."""
        changed: dict[str, str] = {}
        need_restart: dict[str, str] = {}
        values: dict[str, object] = {}
        for key, setting in NODE_SETTINGS.items():
            value = getattr(wanted, field_of(key))
            if value == getattr(self._now, field_of(key)):
                continue
            if setting.live:
                changed[key] = setting.format(value)
                values[field_of(key)] = value
            else:
                need_restart[key] = setting.format(value)
        if changed:
            self._now = replace(self._now, **values)  # type: ignore[arg-type]
            for listener in self._listeners:
                listener(self._now)
        return SettingsChange(changed, need_restart)
