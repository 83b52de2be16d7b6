"""What each part of a node is told of the node's settings, in one place.

Bounds that have no setting of their own follow from those that have, so that a small journal
(tests, the simulator) gets small reserves.
"""

from __future__ import annotations

from replication.multiraft.settings import ReplicationSettings, SettingOutOfRange
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.settings.node import NodeConfig
from streamlog.storage.journal.journal import JournalSettings
from streamlog.storage.store_settings import StoreSettings

_BLOCK_BYTES = 4096


def replication_settings(config: NodeConfig) -> ReplicationSettings:
    """For the groups and the streams between nodes. Raises StreamlogError(INVALID_CONFIG)."""
    try:
        return ReplicationSettings(
            election_timeout_ms=config.election_timeout_ms,
            heartbeat_interval_ms=config.heartbeat_interval_ms,
            retry_interval_ms=max(10, config.election_timeout_ms / 2),
            append_bytes_max=config.replication_message_bytes,
            inflight_bytes_max=config.replication_inflight_bytes,
            group_uncommitted_bytes_max=config.replication_uncommitted_bytes,
        )
    except SettingOutOfRange as error:
        raise StreamlogError(Reason.INVALID_CONFIG, str(error)) from error


def store_settings(config: NodeConfig) -> StoreSettings:
    """For the logs on disk."""
    journal = JournalSettings(
        file_bytes=config.journal_file_bytes // _BLOCK_BYTES * _BLOCK_BYTES,
        files_max=config.journal_files,
    )
    journal_bytes = journal.file_bytes * journal.files_max
    usual = StoreSettings()
    return StoreSettings(
        journal=journal,
        direct_bytes=config.journal_direct_bytes,
        checkpoint_interval_ms=config.checkpoint_interval_ms,
        checkpoint_bytes=min(usual.checkpoint_bytes, journal_bytes // 4),
        disk_reserve_bytes=config.disk_reserve_bytes,
        journal_reserve_bytes=min(usual.journal_reserve_bytes, journal_bytes // 8),
    )
