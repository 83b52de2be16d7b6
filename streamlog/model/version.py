"""What the software calls itself in handshakes and logs."""

from __future__ import annotations

VERSION = "0.1.0"
SOFTWARE = f"streamlog/{VERSION}"
