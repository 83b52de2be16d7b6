"""What a partition's row says of its way to other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamlog.cli.output import Output

if TYPE_CHECKING:
    from streamlog.client import PartitionDescription


def moving_cell(partition: PartitionDescription, output: Output) -> Any:
    """For programs whether it moves, for people also whom it leaves."""
    if output is Output.JSON:
        return partition.moving
    if not partition.moving:
        return None
    leaving = ",".join(map(str, partition.leaving_node_ids))
    return f"yes, leaves {leaving}" if leaving else "yes"
