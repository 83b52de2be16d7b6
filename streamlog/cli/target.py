"""Which cluster a command talks to, and who said so.

In falling order: `--bootstrap`, STREAMLOG_BOOTSTRAP, the profile of `--profile` or of
STREAMLOG_PROFILE, the current profile, 127.0.0.1:9092. An error about an address says where the
address came from: half of the connections that fail are to a cluster that nobody meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streamlog.cli import profiles
from streamlog.cli.failure import EXIT_USAGE, CommandFailed
from streamlog.model.settings.address import PORT_MAX, split_address

DEFAULT: Final = "127.0.0.1:9092"
BOOTSTRAP_VARIABLE: Final = "STREAMLOG_BOOTSTRAP"
PROFILE_VARIABLE: Final = "STREAMLOG_PROFILE"


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster by the addresses of some of its nodes.

    Invariant: `addresses` is not empty, and each is host:port.
    """

    addresses: tuple[str, ...]
    source: str
    """Who gave the addresses, for people: "--bootstrap", "the profile 'prod'", ..."""
    note: str = ""
    """What was given besides and not used; empty: nothing."""

    @property
    def bootstrap(self) -> str:
        """As clients take it."""
        return ",".join(self.addresses)


def parse_addresses(bootstrap: str, source: str) -> tuple[str, ...]:
    """Addresses of "host:port,host:port". Raises CommandFailed."""
    addresses = tuple(part.strip() for part in bootstrap.split(",") if part.strip())
    for address in addresses:
        split = split_address(address)
        if split is None or split[1] == 0:
            raise CommandFailed(
                f"{address!r} is not host:port with a port of 1 to {PORT_MAX} (from {source})",
                EXIT_USAGE,
            )
    if not addresses:
        raise CommandFailed(f"{source} names no node; give it as host:port,host:port", EXIT_USAGE)
    return addresses


def resolve_target(
    bootstrap: str | None, profile: str | None, environment: Mapping[str, str]
) -> Target:
    """The cluster to talk to.

    Args:
        bootstrap: Of the command line.
        profile: Of the command line.
        environment: An empty variable counts as absent.

    Raises CommandFailed: an address is none, no such profile, an unreadable file of profiles.
    """
    variable = environment.get(BOOTSTRAP_VARIABLE, "")
    chosen, chooser = profile, "--profile"
    if chosen is None and environment.get(PROFILE_VARIABLE):
        chosen, chooser = environment[PROFILE_VARIABLE], PROFILE_VARIABLE
    if bootstrap is not None or variable:
        text = variable if bootstrap is None else bootstrap
        source = BOOTSTRAP_VARIABLE if bootstrap is None else "--bootstrap"
        note = f"{source} goes before --profile {profile}" if profile is not None else ""
        return Target(parse_addresses(text, source), source, note)
    try:
        path = profiles.profiles_file(environment)
    except CommandFailed:
        if chosen is not None:
            raise
        return Target((DEFAULT,), "the default")  # nobody who has no home has profiles
    known = profiles.load(path)
    if chosen is not None:
        source = f"the profile {chosen!r} ({chooser})"
        return Target(parse_addresses(known.bootstrap(chosen), source), source)
    if known.current is not None:
        source = f"the current profile {known.current!r} ({path})"
        return Target(parse_addresses(known.bootstrap(known.current), source), source)
    return Target((DEFAULT,), "the default")
