"""Drives many Raft groups on one node: carries out the core's effects over storage and transport."""

from replication.multiraft.host import MultiRaft
from replication.multiraft.settings import ReplicationSettings, SettingOutOfRange
from replication.transport.identity import NodeIdentity

__all__ = ["MultiRaft", "NodeIdentity", "ReplicationSettings", "SettingOutOfRange"]
