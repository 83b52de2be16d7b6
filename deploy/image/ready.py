"""Health check of the image: asks the node in this container whether it has caught up.

Exit code 0 when it is ready, 1 otherwise, with the reasons on standard output, where `inspect`
shows them. STREAMLOG_OPERATIONS_BIND says where to ask when the file of settings does not.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

DEFAULT = "127.0.0.1:9464"
"""As in node.toml."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound here
TIMEOUT_SECONDS = 8.0


def main() -> int:
    """Ask once."""
    host, _, port = (os.environ.get("STREAMLOG_OPERATIONS_BIND") or DEFAULT).rpartition(":")
    url = f"http://{EVERYWHERE.get(host, host)}:{port}/readyz"
    # A proxy of the environment must not be asked about this container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
            print(answer.read().decode(errors="replace"))
            return 0
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace"))
    except OSError as error:
        print(f"{url}: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
