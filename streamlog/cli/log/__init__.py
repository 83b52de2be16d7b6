"""`streamlog log`: a node's files, read without the node.

| module | what |
|---|---|
| `commands` | the commands and their options |
| `dump` | prints batches |
| `verify` | what to check below the paths that were given, and the report |
| `data_directory` | all of one node's directory |
| `node_files` | who the node is, and its checkpoints |
| `journal_files` | the journal |
| `log_files` | one log: segments, indexes, states, the snapshot |
| `paper_start` | what the node itself would find at its next start |
| `paper_disk` | a disk that keeps changes in memory |
| `segment_batches` | the batches of a segment file, checked |
| `finding` | a file and the verdict on it |

Invariant: nothing here writes to what it reads.
"""

from __future__ import annotations

from streamlog.cli.log.commands import register

__all__ = ["register"]
