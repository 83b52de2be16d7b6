"""The blocking twin of `streamlog.client.Worker`: handlers are plain functions, run in threads.

with Consumer(bootstrap, group="billing", topics=["orders"], auto_commit_ms=None) as consumer:
    Worker(consumer, handle).run()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Literal

from streamlog.client.errors import WrongUse
from streamlog.client.groups import worker as aio_worker
from streamlog.client.groups.worker import Key, Verdict
from streamlog.client.records import ConsumerRecord

if TYPE_CHECKING:  # it exports this module's class
    from streamlog.client.sync import Consumer

THREADS_MAX: Final = 1_000

Handler = Callable[[ConsumerRecord], object]
OnError = Callable[[ConsumerRecord, Exception], Verdict]


class Worker:
    """Hands each record of a group consumer to a handler, in a thread of a pool.

    Args:
        consumer: of a group, made with `auto_commit_ms=None`; nobody else reads from it meanwhile.
        handler: Called with each record in one of the threads; it may wait, and use blocking
            clients.
        concurrency: Threads, 1 to 1,000.
        key, max_in_flight, on_error, commit_ms: As at `streamlog.client.Worker`. `on_error` is
            called in one of the threads, `key` in that of the event loop: it must not wait.

    Raises ValueError when an argument is out of its range.
    """

    def __init__(
        self,
        consumer: Consumer,
        handler: Handler,
        *,
        concurrency: int = 16,
        key: Key | None = None,
        max_in_flight: int = 1_000,
        on_error: Literal["stop"] | OnError = "stop",
        commit_ms: int = 1_000,
    ) -> None:
        if not 1 <= concurrency <= THREADS_MAX:
            raise ValueError(f"concurrency is {concurrency}; allowed are 1 to {THREADS_MAX}")
        # The consumer's own half of this module: where its twin lives.
        self._calls, twin = consumer._worker, consumer._twin  # noqa: SLF001
        self._pool: ThreadPoolExecutor | None = None
        self._concurrency = concurrency
        self._handler, self._on_error = handler, on_error
        self._twin = aio_worker.Worker(
            twin,
            self._handle,
            concurrency=concurrency,
            key=key,
            max_in_flight=max_in_flight,
            on_error=self._judge if callable(on_error) else on_error,
            commit_ms=commit_ms,
        )

    def run(self) -> None:
        """As the twin's `run`. An interrupt waits for the handlers that run and commits nothing
        more."""
        if self._pool is not None:
            raise WrongUse("a worker runs once; make another one")
        with ThreadPoolExecutor(self._concurrency, "streamlog worker") as self._pool:
            self._calls.run(self._twin.run())

    def stop(self) -> None:
        """End `run` as soon as the handlers that run now have returned; from any thread."""
        self._calls.call_soon(self._twin.stop)

    async def _handle(self, record: ConsumerRecord) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._handler, record)

    async def _judge(self, record: ConsumerRecord, error: Exception) -> Verdict:
        assert callable(self._on_error)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._on_error, record, error)
