"""Renders `docs/configuration.md` from the lists of settings.

python -m streamlog.model.settings.documentation > docs/configuration.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from streamlog.model.settings.node import NODE_SETTINGS
from streamlog.model.settings.setting import Setting
from streamlog.model.settings.topic import TOPIC_SETTINGS

_HEAD = """# Configuration

Generated from `streamlog/model/settings`; a test fails when it is stale. A value outside its range
is refused with an error that names the key, the value and the range; an unknown key with the keys
that look like it.

**live**: a change takes effect while the node runs: change the file and send the node SIGHUP (`systemctl
reload streamlog`). It logs `settings_changed` with what changed, `settings_need_restart` with what
waits for the next start, and `settings_refused`, with nothing changed, when the file is wrong.
Topics' settings all are: `streamlog topic alter`.
"""

_NODES = """The same key may come from an option, the environment or a file. An unknown one is an error in an
option or a file. A variable that begins with `STREAMLOG_` and is no setting is a warning, and the
node starts: variables are inherited, and an older or newer program may have use for it."""


def render() -> str:
    """The whole page."""
    topic = _table("Topics", "Set when a topic is created or altered.", TOPIC_SETTINGS)
    node = _table("Nodes", _NODES, NODE_SETTINGS)
    return f"{_HEAD}\n{topic}\n{node}"


def _table(title: str, preface: str, settings: Mapping[str, Setting]) -> str:
    rows = [
        f"| `{key}` | {setting.format(setting.default) or '(empty)'} | {setting.allowed} |"
        f" {setting.documentation}{' **live**' if setting.live else ''} |"
        for key, setting in sorted(settings.items())
    ]
    return "\n".join(
        [
            f"## {title}",
            preface,
            "",
            "| key | default | allowed | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(render())
