"""Settings whose values are addresses: one host:port, and the list of controllers.

An IPv6 host is written in brackets, "[::1]:9092".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streamlog.model.settings.setting import refusal

PORT_MAX = 65_535
CONTROLLERS_MAX = 7
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]{2,64}\]|[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)")
_ADDRESS_FORM = f"host:port with a port of 0 to {PORT_MAX}"


def split_address(address: str) -> tuple[str, int] | None:
    """Host (without brackets) and port, or None when it is not an address."""
    host, colon, port = address.rpartition(":")
    if not colon or not _HOST.fullmatch(host):
        return None
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > PORT_MAX:
        return None
    return host.strip("[]"), int(port)


def host_of(address: str) -> str:
    """Host of a checked address, without brackets."""
    return address.rpartition(":")[0].strip("[]")


def port_of(address: str) -> int:
    """Port of a checked address."""
    return int(address.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class AddressSetting:
    """host:port; empty too when it is optional."""

    key: str
    default: str
    documentation: str
    optional: bool = False
    unit: str = ""
    live: bool = False

    @property
    def allowed(self) -> str:
        return _ADDRESS_FORM + (", or empty" if self.optional else "")

    def parse(self, text: str) -> str:
        return self.check(text)

    def check(self, value: object) -> str:
        if self.optional and value == "":
            return ""
        if not isinstance(value, str) or split_address(value) is None:
            raise refusal(self.key, value, self.allowed)
        return value

    def format(self, value: object) -> str:
        return self.check(value)


@dataclass(frozen=True, slots=True)
class ControllersSetting:
    """Pairs of node id and address; as text "1@host:port,2@host:port"."""

    key: str
    default: tuple[tuple[int, str], ...]
    documentation: str
    unit: str = ""
    live: bool = False

    @property
    def allowed(self) -> str:
        return (
            f"at most {CONTROLLERS_MAX} of id@host:port joined by commas,"
            f" ids of 1 to {2**31 - 1} and addresses each once"
        )

    def parse(self, text: str) -> tuple[tuple[int, str], ...]:
        pairs: list[tuple[int, str]] = []
        for part in text.split(",") if text else []:
            identity, at, address = part.strip().partition("@")
            if not at or not (identity.isascii() and identity.isdigit()) or len(identity) > 10:
                raise refusal(self.key, text, self.allowed)
            pairs.append((int(identity), address))
        return self.check(tuple(pairs))

    def check(self, value: object) -> tuple[tuple[int, str], ...]:
        """Checked, and sorted by node id."""
        if not isinstance(value, tuple) or len(value) > CONTROLLERS_MAX:
            raise refusal(self.key, value, self.allowed)
        for pair in value:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise refusal(self.key, value, self.allowed)
            node_id, address = pair
            if not isinstance(node_id, int) or not 1 <= node_id < 2**31:
                raise refusal(self.key, value, self.allowed)
            if not isinstance(address, str) or split_address(address) is None:
                raise refusal(self.key, value, self.allowed)
        if len({pair[0] for pair in value}) != len(value):
            raise refusal(self.key, value, self.allowed)
        if len({pair[1] for pair in value}) != len(value):
            raise refusal(self.key, value, self.allowed)
        return tuple(sorted(value))

    def format(self, value: object) -> str:
        return ",".join(f"{node_id}@{address}" for node_id, address in self.check(value))
