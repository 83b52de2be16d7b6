"""Settings of a node: who it is, where it listens, and the bounds of everything in it.

Sources in falling order of precedence are the command line, the environment and a file; whoever
reads them hands text by key to `NodeConfig.from_text`, or builds a NodeConfig of values.

Invariant: NODE_SETTINGS and the fields of NodeConfig name the same things (a test compares).
Invariant: a NodeConfig that exists is valid, cross-checks included.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from streamlog.model.settings.address import (
    AddressSetting,
    ControllersSetting,
    host_of,
    port_of,
)
from streamlog.model.settings.setting import (
    BooleanSetting,
    IntegerSetting,
    Setting,
    TextSetting,
    field_of,
    parse_settings,
    refusal,
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
NODE_ID_MAX = 2**31 - 1
ELECTION_HEARTBEATS_MIN = 3
"""An election timeout spans at least this many heartbeats: one may be lost, one late."""


def _number(
    key: str, default: int, low: int, high: int, unit: str, text: str, *, live: bool = False
) -> Setting:
    return IntegerSetting(key, default, low, high, unit, text, live=live)


_LIST: tuple[Setting, ...] = (
    # Identity and place.
    _number("node.id", 1, 1, NODE_ID_MAX, "", "Identity of the node; unique in the cluster."),
    AddressSetting(
        "bind", "127.0.0.1:9092", "Where the node listens, for clients and for other nodes."
    ),
    AddressSetting(
        "advertised",
        "",
        "Where clients and other nodes reach the node; empty: the bound address.",
        optional=True,
    ),
    _number(
        "peer.port",
        0,
        0,
        65_535,
        "",
        "TCP port, on the host of bind, for the streams between nodes; 0: one that the system"
        " chooses. Nodes that can not reach it use the advertised address instead, which is slower.",
    ),
    TextSetting("rack", "", "Failure domain; replicas of a partition go to different racks."),
    ControllersSetting(
        "controllers",
        (),
        "The nodes that keep the metadata, the same list on every node; empty: this node alone.",
    ),
    BooleanSetting(
        "bootstrap",
        False,
        "Form a new cluster of the controllers when all of them are blank. For the first start only:"
        " it does nothing on a node that belongs to a cluster, but one that lists itself alone"
        " forms another cluster when its disk is lost and no member of the first one reaches it.",
    ),
    BooleanSetting(
        "insecure",
        False,
        "Allow a bind address that other machines reach although traffic is not encrypted.",
    ),
    AddressSetting(
        "operations.bind",
        "",
        "Where the node answers /metrics, /healthz and /readyz over HTTP, unencrypted; empty:"
        " nowhere.",
        optional=True,
    ),
    # Replication.
    _number(
        "heartbeat.interval.ms", 100, 5, 10_000, "ms", "Pause between heartbeats to another node."
    ),
    _number(
        "election.timeout.ms",
        800,
        20,
        120_000,
        "ms",
        "A node that was silent for so long is taken for dead; elections of its groups follow.",
    ),
    _number(
        "replication.inflight.bytes",
        8 * MIB,
        64 * KIB,
        GIB,
        "bytes",
        "Entries on their way to one replica and not yet answered.",
    ),
    _number(
        "replication.message.bytes",
        MIB,
        4 * KIB,
        32 * MIB,
        "bytes",
        "Entries in one message to one replica; a larger entry goes alone.",
    ),
    _number(
        "replication.uncommitted.bytes",
        64 * MIB,
        MIB,
        GIB,
        "bytes",
        "Appended and not yet committed entries of one partition; beyond it, produce is refused.",
    ),
    _number(
        "replication.elections.concurrent",
        64,
        1,
        10_000,
        "",
        "Elections that a node starts at the same time after another one died.",
    ),
    # Journal and checkpoints.
    _number(
        "disk.reserve.bytes",
        256 * MIB,
        0,
        1 << 50,
        "bytes",
        "Kept free on the disk for votes, checkpoints and deletions: with less, records are refused"
        " as DISK_FULL.",
        live=True,
    ),
    _number("journal.file.bytes", 64 * MIB, MIB, GIB, "bytes", "Size of one journal file."),
    _number(
        "journal.files",
        8,
        3,
        1_024,
        "",
        "Journal files; when all hold bytes that no checkpoint covers, produce waits.",
    ),
    _number(
        "journal.direct.bytes",
        256 * KIB,
        4 * KIB,
        32 * MIB,
        "bytes",
        "An append of at least this size goes straight to its segment file and the journal gets"
        " a reference.",
    ),
    _number(
        "checkpoint.interval.ms",
        5_000,
        10,
        600_000,
        "ms",
        "Longest pause between checkpoints while there is something to write.",
    ),
    _number(
        "snapshot.bytes",
        8 * MIB,
        4 * KIB,
        GIB,
        "bytes",
        "Log of a state machine after which a snapshot replaces it.",
    ),
    _number(
        "snapshot.records",
        50_000,
        10,
        10_000_000,
        "records",
        "Records of a state machine after which a snapshot replaces them.",
    ),
    # Topics that say nothing themselves.
    _number(
        "default.partitions",
        1,
        1,
        10_000,
        "",
        "Partitions of a topic that names no number.",
        live=True,
    ),
    _number(
        "default.replication.factor",
        3,
        1,
        7,
        "",
        "Replicas of a topic that names no number; with fewer nodes, as many as there are.",
        live=True,
    ),
    # Consumer groups.
    _number(
        "groups.partitions",
        16,
        1,
        1_000,
        "",
        "Partitions of __consumer_offsets, when this node is the one that makes it; they never"
        " change afterwards.",
    ),
    _number(
        "groups.replication.factor",
        3,
        1,
        7,
        "",
        "Replicas of __consumer_offsets, when this node is the one that makes it; with fewer nodes,"
        " as many as there are.",
    ),
    _number(
        "groups.offset.retention.ms",
        604_800_000,
        60_000,
        1 << 50,
        "ms",
        "How long the positions of a consumer group without members are kept.",
        live=True,
    ),
    _number(
        "groups.no.progress.ms",
        0,
        0,
        86_400_000,
        "ms",
        "Members that own partitions, are alive and handle nothing for so long are expired by this"
        " node; 0: they are not.",
    ),
    _number(
        "groups.alarm.no.progress.ms",
        300_000,
        0,
        86_400_000,
        "ms",
        "A member of a consumer group that owns partitions and handles nothing for so long is an"
        " alarm: in the log, in the metrics, in what is told of the group; 0: it is not.",
        live=True,
    ),
    _number(
        "groups.alarm.unowned.ms",
        120_000,
        0,
        86_400_000,
        "ms",
        "A partition that a consumer group subscribes to and that none of its members owns for so"
        " long is an alarm; 0: it is not.",
        live=True,
    ),
    _number(
        "groups.survey.ms",
        15_000,
        0,
        3_600_000,
        "ms",
        "How often a node looks at the lag and the alarms of the consumer groups that it"
        " coordinates, for its metrics and its log; 0: never.",
        live=True,
    ),
    # Limits.
    _number(
        "message.bytes",
        33 * MIB,
        64 * KIB,
        256 * MIB,
        "bytes",
        "Largest message that the node takes or sends.",
    ),
    _number(
        "connection.inflight.bytes",
        16 * MIB,
        64 * KIB,
        GIB,
        "bytes",
        "Produce requests of one stream that are not yet answered; beyond it, the node reads no"
        " more of the stream.",
        live=True,
    ),
    _number(
        "node.inflight.bytes",
        64 * MIB,
        MIB,
        16 * GIB,
        "bytes",
        "Produce requests of all streams that are not yet answered.",
        live=True,
    ),
    _number(
        "fetch.buffer.bytes",
        32 * MIB,
        MIB,
        16 * GIB,
        "bytes",
        "Read from disk for fetches at a time, over all streams.",
        live=True,
    ),
    _number(
        "publish.buffer.bytes",
        32 * MIB,
        MIB,
        16 * GIB,
        "bytes",
        "Records that were published one by one and have no result yet, over all connections.",
    ),
    _number(
        "open.files",
        512,
        32,
        1_000_000,
        "",
        "Descriptors of segment and index files that are kept open.",
    ),
    _number(
        "request.timeout.ms",
        30_000,
        100,
        600_000,
        "ms",
        "Longest time that a change of metadata or a produce request waits for a majority.",
        live=True,
    ),
    _number(
        "retention.check.ms",
        30_000,
        100,
        3_600_000,
        "ms",
        "How often a node looks for segments that retention.ms or retention.bytes lets go.",
        live=True,
    ),
    _number(
        "scrub.interval.ms",
        86_400_000,
        0,
        31_536_000_000,
        "ms",
        "Pause between two rounds in which a node reads all of its logs, so that rot is found and"
        " mended from other replicas; 0: none.",
        live=True,
    ),
    _number(
        "scrub.bytes.per.second",
        8 * MIB,
        64 * KIB,
        16 * GIB,
        "bytes/s",
        "How fast a round of scrubbing reads.",
        live=True,
    ),
    _number(
        "shutdown.handover.ms",
        5_000,
        0,
        60_000,
        "ms",
        "Longest time that a node which stops spends on handing its leaderships over; 0: none.",
        live=True,
    ),
    _number(
        "leader.return.ms",
        10_000,
        0,
        3_600_000,
        "ms",
        "How often a node looks for partitions whose preferred leader is another node that is ready;"
        " found twice, they are handed to it. 0: never.",
        live=True,
    ),
    _number(
        "move.bytes.per.second",
        64 * MIB,
        0,
        16 * GIB,
        "bytes/s",
        "How fast this node copies to replicas that are new, all of them together; 0: as fast as it"
        " can.",
        live=True,
    ),
    BooleanSetting(
        "balance.leaders",
        True,
        "While this node leads the metadata: change which node of a partition is the preferred"
        " leader, some at a time, so that all nodes are equally often. Turn it off where leaders"
        " shall stay as `streamlog partition move` named them.",
        live=True,
    ),
    BooleanSetting(
        "balance.replicas",
        False,
        "While this node leads the metadata: move replicas by itself, some at a time, so that all"
        " nodes hold equally many. `streamlog cluster rebalance` shows and does the same when asked.",
        live=True,
    ),
)

NODE_SETTINGS: Mapping[str, Setting] = MappingProxyType({s.key: s for s in _LIST})
"""By key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The settings in force for a node; see NODE_SETTINGS for meaning, units and ranges."""

    node_id: int = 1
    bind: str = "127.0.0.1:9092"
    advertised: str = ""
    peer_port: int = 0
    rack: str = ""
    controllers: tuple[tuple[int, str], ...] = ()
    """(node id, address), by node id."""
    bootstrap: bool = False
    insecure: bool = False
    operations_bind: str = ""
    heartbeat_interval_ms: int = 100
    election_timeout_ms: int = 800
    replication_inflight_bytes: int = 8 * MIB
    replication_message_bytes: int = MIB
    replication_uncommitted_bytes: int = 64 * MIB
    replication_elections_concurrent: int = 64
    disk_reserve_bytes: int = 256 * MIB
    journal_file_bytes: int = 64 * MIB
    journal_files: int = 8
    journal_direct_bytes: int = 256 * KIB
    checkpoint_interval_ms: int = 5_000
    snapshot_bytes: int = 8 * MIB
    snapshot_records: int = 50_000
    default_partitions: int = 1
    default_replication_factor: int = 3
    groups_partitions: int = 16
    groups_replication_factor: int = 3
    groups_offset_retention_ms: int = 604_800_000
    groups_no_progress_ms: int = 0
    groups_alarm_no_progress_ms: int = 300_000
    groups_alarm_unowned_ms: int = 120_000
    groups_survey_ms: int = 15_000
    message_bytes: int = 33 * MIB
    connection_inflight_bytes: int = 16 * MIB
    node_inflight_bytes: int = 64 * MIB
    fetch_buffer_bytes: int = 32 * MIB
    publish_buffer_bytes: int = 32 * MIB
    open_files: int = 512
    request_timeout_ms: int = 30_000
    retention_check_ms: int = 30_000
    scrub_interval_ms: int = 86_400_000
    scrub_bytes_per_second: int = 8 * MIB
    shutdown_handover_ms: int = 5_000
    leader_return_ms: int = 10_000
    move_bytes_per_second: int = 64 * MIB
    balance_leaders: bool = True
    balance_replicas: bool = False

    def __post_init__(self) -> None:
        """Raises StreamlogError(INVALID_CONFIG) for a value that is not allowed."""
        for key, setting in NODE_SETTINGS.items():
            checked = setting.check(getattr(self, field_of(key)))
            object.__setattr__(self, field_of(key), checked)
        self._check_addresses()
        if self.election_timeout_ms < ELECTION_HEARTBEATS_MIN * self.heartbeat_interval_ms:
            raise refusal(
                "election.timeout.ms",
                self.election_timeout_ms,
                f"at least {ELECTION_HEARTBEATS_MIN} times heartbeat.interval.ms"
                f" ({self.heartbeat_interval_ms})",
            )

    def _check_addresses(self) -> None:
        """Refuse what is open to the world or can not be reached; fill in what was left out."""
        for key, address in (("bind", self.bind), ("operations.bind", self.operations_bind)):
            if address and not self.insecure and not is_loopback(host_of(address)):
                raise refusal(
                    key,
                    address,
                    "a loopback address (127.0.0.0/8, ::1, localhost) while traffic is not"
                    " encrypted; set insecure to allow any other",
                )
        if self.peer_port and self.bind.endswith(f":{self.peer_port}"):
            raise refusal(
                "peer.port", self.peer_port, f"another port than that of bind ({self.bind})"
            )
        for other, port in (("bind", port_of(self.bind)), ("peer.port", self.peer_port)):
            if port and self.operations_bind.endswith(f":{port}"):
                raise refusal(
                    "operations.bind",
                    self.operations_bind,
                    f"another port than that of {other} ({port})",
                )
        if not self.advertised:
            object.__setattr__(self, "advertised", self.bind)
        if is_unspecified(host_of(self.advertised)):
            raise refusal(
                "advertised", self.advertised, "an address that others can reach, not a wildcard"
            )
        if not self.controllers:
            object.__setattr__(self, "controllers", ((self.node_id, self.advertised),))
        if self.bootstrap and not self.is_controller:
            listed = ", ".join(str(node_id) for node_id, _ in self.controllers)
            raise refusal(
                "bootstrap", "true", f"only on a controller; node {self.node_id} is not of {listed}"
            )

    @property
    def is_controller(self) -> bool:
        """The node is one of the controllers."""
        return any(node_id == self.node_id for node_id, _ in self.controllers)

    @property
    def founds_alone(self) -> bool:
        """The node forms a cluster of its own while its directory is blank."""
        return self.bootstrap and len(self.controllers) == 1

    @classmethod
    def from_text(cls, values: Mapping[str, str]) -> NodeConfig:
        """Defaults, changed by text values by key. Raises StreamlogError(INVALID_CONFIG)."""
        parsed = parse_settings(values, NODE_SETTINGS, "a node")
        fields: dict[str, Any] = {field_of(key): value for key, value in parsed.items()}
        return cls(**fields)


def is_loopback(host: str) -> bool:
    """The host can be reached from this machine only; a name other than localhost is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_unspecified(host: str) -> bool:
    """The host stands for every address of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
