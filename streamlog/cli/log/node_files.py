"""The small files of a node: who it is, what it must hold, and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from replication.errors import StorageFailed
from streamlog.cli.log.finding import (
    NEWER_ADVICE,
    NODE_ADVICE,
    Finding,
    Verdict,
    without_path,
)
from streamlog.cli.log.log_files import readable
from streamlog.cli.log.paper_disk import PaperDisk
from streamlog.cluster import local_state
from streamlog.cluster.local_state import LocalState, LocalStateFile
from streamlog.storage import checkpoint, identity
from streamlog.storage.identity import IdentityRefused, NodeIdentity, load_identity
from streamlog.storage.sealed_file import UnknownVersion
from streamlog.storage.v1 import storage_pb2


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What the checkpoints say."""

    sound: tuple[storage_pb2.Checkpoint, ...]
    """Newest first."""
    findings: tuple[Finding, ...]


async def check_node_identity(disk: PaperDisk) -> tuple[NodeIdentity | None, Finding]:
    """The identity, None when there is no sound one."""
    path = identity.PATH
    try:
        found = await load_identity(disk)
    except (IdentityRefused, OSError) as error:
        what = readable(error) if isinstance(error, OSError) else error.reason
        advice = NEWER_ADVICE if "this version knows" in what else NODE_ADVICE
        return None, Finding(path, without_path(path, what), Verdict.DAMAGED, advice)
    if found is None:
        return None, Finding(path, "is missing", Verdict.DAMAGED, NODE_ADVICE)
    return found, Finding(
        path, f"node {found.node_id} of cluster {found.cluster_id:032x}", Verdict.OK
    )


async def check_local_state(
    disk: PaperDisk, node: NodeIdentity | None
) -> tuple[LocalState | None, Finding]:
    """What the node must hold, None when that is not known."""
    path = local_state.PATH
    file = LocalStateFile(disk)
    try:
        await file.load()
    except (StorageFailed, DecodeError, OSError) as error:
        if isinstance(error, StorageFailed):
            what = without_path(path, error.cause.removesuffix(f". {local_state.ADVICE}"))
        else:
            what = readable(error) if isinstance(error, OSError) else f"can not be parsed: {error}"
        advice = NEWER_ADVICE if "this version knows" in what else NODE_ADVICE
        return None, Finding(path, what, Verdict.DAMAGED, advice)
    state, founding = file.state, file.state.founding
    cluster_id = node.cluster_id if node is not None else 0
    if founding is None:
        if cluster_id == 0:
            return state, Finding(path, "the node belongs to no cluster yet")
        what = f"is missing, but the node is of cluster {cluster_id:032x}"
        return None, Finding(path, what, Verdict.DAMAGED, NODE_ADVICE)
    if cluster_id not in {0, founding.cluster_id}:
        what = f"is of cluster {founding.cluster_id:032x}, the node of cluster {cluster_id:032x}"
        return None, Finding(path, what, Verdict.DAMAGED, NODE_ADVICE)
    return state, Finding(path, f"replicas up to metadata offset {state.created_through}")


async def check_checkpoints(disk: PaperDisk, node: NodeIdentity | None) -> Checkpoints:
    """Each alone; the node begins with the newest that is sound."""
    directory_id = node.directory_id if node is not None else None
    sound: list[storage_pb2.Checkpoint] = []
    findings: list[Finding] = []
    damaged: list[tuple[str, str]] = []
    for name in sorted(await disk.list_directory(checkpoint.DIRECTORY), reverse=True):
        path = f"{checkpoint.DIRECTORY}/{name}"
        try:
            loaded = await checkpoint.load_newest(disk.showing_only(path), directory_id)
        except UnknownVersion as error:
            findings.append(Finding(path, error.detail, Verdict.DAMAGED, NEWER_ADVICE))
            continue
        except StorageFailed as error:
            damaged.append((path, error.cause.partition(f"{path}: ")[2] or error.cause))
            continue
        except OSError as error:
            damaged.append((path, readable(error)))
            continue
        if loaded.message is not None:
            message = loaded.message
            sound.append(message)
            what = f"logs {len(message.groups)}, journal up to LSN {message.begin_lsn}"
            findings.append(Finding(path, what + (", clean stop" * message.clean_stop)))
        elif name.endswith(".tmp"):
            findings.append(Finding(path, "was being written", Verdict.NORMAL))
        else:
            findings.append(Finding(path, "no checkpoint", Verdict.FOREIGN))
    for path, what in damaged:
        if sound:
            told = f"{what}; the node begins with the other one"
            findings.append(Finding(path, told, Verdict.REBUILT))
        else:
            findings.append(Finding(path, what, Verdict.DAMAGED, NODE_ADVICE))
    return Checkpoints(tuple(sound), tuple(findings))
