"""What operators and their machines ask of a node: metrics, liveness, readiness.

| path | answers |
|---|---|
| /metrics | Prometheus' text form, always |
| /healthz | 200 while the node can go on, else 503: end the process |
| /readyz | 200 when the node has caught up and is not stopping, else 503: wait |

The answer is taken on the event loop; a body that takes long to write is a function, for the
thread that serves it. Whoever serves it (`streamlog.host.operations_server`) knows paths only from
here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from prometheus_client.registry import Collector

from replication.ports import Clock
from replication.transport.tasks import TaskOwner
from replication.types import NodeId
from streamlog.server.metrics import exposition
from streamlog.server.metrics.loop_lag import watch_loop
from streamlog.server.metrics.samples import Samples
from streamlog.server.metrics.sources import sample_counters, sample_member
from streamlog.server.metrics.survey import Survey, take_survey
from streamlog.server.node import Node
from streamlog.server.readiness import Phase, Readiness, judge

PATHS: Final = ("/metrics", "/healthz", "/readyz")
JSON: Final = "application/json; charset=utf-8"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """To one request."""

    status: int
    """Of HTTP."""
    content_type: str
    body: Callable[[], bytes]
    """May be called on any thread, once."""


class Operations:
    """Answers for one node. All calls are made on its event loop."""

    def __init__(self, node: Node, clock: Clock, collectors: Sequence[Collector] = ()) -> None:
        """`collectors` give metrics of the process around the node, on the serving thread."""
        self._node, self._clock = node, clock
        self._node_id = NodeId(node.settings.now.node_id)
        self._collectors = tuple(collectors)
        self._tasks = TaskOwner(self._task_failed)
        self._since_ms = clock.monotonic_ms()

    def start(self) -> None:
        """Watch the event loop from now on."""
        self._tasks.start(watch_loop(self._clock, self._node.counters.loop_lag_ms), "loop lag")

    async def stop(self) -> None:
        """Watch it no more."""
        await self._tasks.stop()

    async def answer(self, path: str) -> Answer | None:
        """To a request of this path; None when there is no such path."""
        match path:
            case "/metrics":
                return await self._metrics()
            case "/healthz":
                return self._healthz()
            case "/readyz":
                readiness = self._judged(await self._survey())
                return _json(
                    200 if readiness.ready else 503,
                    {"ready": readiness.ready, "reasons": readiness.reasons, **readiness.details},
                )
            case _:
                return None

    async def _metrics(self) -> Answer:
        samples = Samples()
        survey = await self._survey()
        node, member = self._node, self._node.member
        uptime_ms = self._clock.monotonic_ms() - self._since_ms
        samples.number("streamlog_node_uptime_seconds", uptime_ms / 1_000)
        samples.number("streamlog_node_healthy", node.failure is None)
        samples.number("streamlog_node_ready", self._judged(survey).ready)
        sample_counters(samples, node.counters)
        if member is not None and survey is not None:
            now_ms = self._clock.monotonic_ms()
            sample_member(samples, node.settings.now, member, survey, node.counters, now_ms)
        return Answer(
            200,
            exposition.CONTENT_TYPE,
            partial(exposition.render, samples, self._collectors),
        )

    def _healthz(self) -> Answer:
        failure = self._node.failure
        phase = self._node.phase
        details = {"healthy": failure is None, "node": self._node_id, "phase": phase.value}
        if failure is None:
            return _json(200, details)
        return _json(503, {**details, "reasons": [str(failure)]})

    async def _survey(self) -> Survey | None:
        """Of a node that serves, or stops; before that its parts may not be there."""
        member = self._node.member
        if member is None or self._node.phase is Phase.STARTING:
            return None
        return await take_survey(member.groups, member.cluster, self._node_id)

    def _judged(self, survey: Survey | None) -> Readiness:
        node = self._node
        return judge(node.phase, self._node_id, node.member, survey)

    def _task_failed(self, error: BaseException) -> None:
        _LOG.error("operations_task_failed", exc_info=error)


def _json(status: int, values: dict[str, Any]) -> Answer:
    text = json.dumps(values, indent=2) + "\n"
    return Answer(status, JSON, text.encode)
