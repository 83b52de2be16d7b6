"""The world of a simulated client: the simulated network behind the client library's protocols."""

from __future__ import annotations

import random

from jepsen_like.sim.clients.group_tap import GroupTap
from jepsen_like.sim.ports.clock import SimClock
from jepsen_like.sim.ports.network import SimNetwork
from replication.ports import Channel
from streamlog.client.transport import ClientStream, Environment
from streamlog.gateway.connector import RemoteChannel


class _TappedChannel(RemoteChannel):
    def __init__(self, channel: Channel, tap: GroupTap) -> None:
        super().__init__(channel)
        self._tap = tap

    def stream(self, method: str) -> ClientStream:
        return self._tap.tapped(method, super().stream(method))


class SimConnector:
    """`streamlog.client.transport.Connector`."""

    def __init__(self, network: SimNetwork, tap: GroupTap | None) -> None:
        self._network, self._tap = network, tap

    def connect(self, address: str) -> RemoteChannel:
        """A channel; nothing is sent yet."""
        channel = self._network.connect(address)
        return RemoteChannel(channel) if self._tap is None else _TappedChannel(channel, self._tap)


def client_environment(
    network: SimNetwork, clock: SimClock, rng: random.Random, tap: GroupTap | None = None
) -> Environment:
    """All of the world that a simulated client sees; `tap` watches its part in groups."""
    return Environment(SimConnector(network, tap), clock, rng)
