"""Keeps `node.identity` readable while the node runs.

The file is read at a start only, and a node without it does not start: rot of it would be found
when the node is needed, maybe on several nodes at once. The running node knows what the file must
say. So it reads it as often as it scrubs, and writes it anew when it is damaged or an older one. That
of another directory is never overwritten: the node ends, as its path leads elsewhere by now.

A write that fails ends the node, as every other does: an error of the directory's fsync may be that
of another file, and is told once. A disk that is full is waited for.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Final

from replication.errors import StorageFailed
from replication.ports import Disk
from streamlog.storage.identity import (
    IdentityRefused,
    NodeIdentity,
    identity_damage,
    write_identity,
)

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)

_LOG = logging.getLogger(__name__)


class IdentityKeeper:
    """Of one node, from its start to its stop."""

    def __init__(
        self, disk: Disk, identity: NodeIdentity, on_failure: Callable[[Exception], None]
    ) -> None:
        """`identity`: with the cluster that the node belongs to."""
        self._disk, self._identity, self._on_failure = disk, identity, on_failure

    async def round(self) -> None:
        """Read the file once, and write it anew if need be."""
        try:
            damage = await identity_damage(self._disk, self._identity)
        except OSError as error:  # Of something else, such as too many open files.
            _LOG.info("identity_check_postponed", extra={"reason": str(error)})
            return
        except IdentityRefused as refusal:
            self._on_failure(refusal)
            return
        if damage is None:
            return
        try:
            await write_identity(self._disk, self._identity)
        except OSError as error:
            if error.errno in _NO_SPACE:
                _LOG.info("identity_check_postponed", extra={"reason": str(error)})
                return
            self._on_failure(StorageFailed("writing the node's identity", str(error)))
        else:
            _LOG.warning("identity_mended", extra={"reason": damage})
