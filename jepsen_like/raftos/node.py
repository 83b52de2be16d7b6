"""One node of raftos, in its own environment: it obeys lines on standard input.

Usage: python node.py LOG_DIRECTORY OWN_ADDRESS OTHER_ADDRESS...

A line is a JSON object with `id` and `do`: `set` (with `value`) stores a value under its own name
and is answered when raftos says that it is stored; `state` is answered with role, term and leader;
`log` with the node's log. An answer has the same `id`. Lines without an id are events. The process
ends with its input.

What is changed around raftos, so that it runs on Python 3.11: `asyncio.Queue` takes no loop any
more, and `asyncio.futures` has no InvalidStateError. What is configured: JSON, since its MessagePack serializer calls msgpack with an argument that is
gone; and a shorter heartbeat, so that elections take tenths of a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

HEARTBEAT_S = 0.05
tasks: set[asyncio.Task[None]] = set()


class QueueOfAnyLoop(asyncio.Queue[Any]):
    """raftos hands its loop over, as one did until Python 3.9."""

    def __init__(self, *, loop: object) -> None:
        del loop
        super().__init__()


asyncio.Queue = QueueOfAnyLoop  # type: ignore[assignment, misc]
asyncio.futures.InvalidStateError = asyncio.InvalidStateError  # type: ignore[attr-defined]

import raftos  # type: ignore[import-not-found] # noqa: E402
from raftos.serializers import JSONSerializer  # type: ignore[import-not-found] # noqa: E402
from raftos.server import Node  # type: ignore[import-not-found] # noqa: E402
from raftos.state import Leader  # type: ignore[import-not-found] # noqa: E402


def tell(message: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tell_leadership() -> None:
    """The node was elected."""
    tell({"event": "leader", "term": Node.nodes[0].state.storage.term})


async def obey(request: dict[str, Any]) -> None:
    """Do what a line asks for."""
    state = Node.nodes[0].state
    answer: dict[str, Any] = {"id": request["id"]}
    try:
        if request["do"] == "set":
            await raftos.Replicated(name=request["value"]).set(request["value"])
        elif request["do"] == "state":
            answer["leads"] = isinstance(state.state, Leader)
            answer["term"] = state.storage.term
            answer["committed"] = state.log.commit_index
        elif request["do"] == "log":
            answer["log"] = [
                [index, *entry["command"].values()]
                for index, entry in enumerate(state.log.cache, start=1)
            ]
    except Exception as error:
        answer["error"] = f"{type(error).__name__}: {error}"
    tell(answer)


async def main(directory: str, own: str, *others: str) -> None:
    """Serve until the input ends."""
    raftos.configure(
        {
            "log_path": directory,
            "serializer": JSONSerializer,
            "heartbeat_interval": HEARTBEAT_S,
            "on_leader": tell_leadership,
        }
    )
    await raftos.register(own, cluster=[own, *others])
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tell({"event": "started"})
    while line := await reader.readline():
        task = loop.create_task(obey(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
