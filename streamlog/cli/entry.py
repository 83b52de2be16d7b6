"""The command `streamlog` where it may have been installed without what it needs.

The client library is installed with few dependencies, and its installation has this command too;
whoever calls it then is told in one line what to install, and not by a traceback.
"""

from __future__ import annotations

import sys

OWN = ("streamlog", "replication", "consumer_groups")
INSTALL = "pip install 'streamlog-platform[server]'"


def main() -> None:
    """Run the command line, if everything it needs is there; else exit with 1."""
    try:
        from streamlog.cli.main import main as run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", *OWN):
            raise
        sys.exit(f"error: the command line needs {missing}, which the client does not: {INSTALL}")
    run()
