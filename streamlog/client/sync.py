"""The client for threads and scripts: the same names, and every call waits for its answer.

    from streamlog.client.sync import Consumer, Producer

    with Producer("127.0.0.1:9092") as producer:
        place = producer.send("events", b"value", key=b"key")
        for line in lines:
            producer.send_nowait("events", line)
        producer.flush()

Each object runs its asynchronous twin on an event loop in a thread that all of them share, so it
may be used from several threads. Arguments, results and errors are the twin's. Callbacks
(`on_delivery`, `on_reset`, `on_commit`, `partitioner`) are called in that thread: they must not
wait for long, and a call of a blocking client from there is refused. Those of a group
(`on_assigned`, `on_revoked`, `on_lost`) are called in a thread of their consumer's, one at a time,
also while the application handles a record: they may wait, and call the consumer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from itertools import islice
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from streamlog.client.consume import consumer as aio_consumer
from streamlog.client.errors import BufferFull, ClientError, NotReady, RecordsLost, WrongUse, closed
from streamlog.client.groups.options import MembershipView
from streamlog.client.operate import admin as aio_admin
from streamlog.client.produce import producer as aio_producer
from streamlog.client.produce.partition_queue import Delivery
from streamlog.client.produce.record_encoder import Headers
from streamlog.client.records import ConsumerRecord, TopicPartition
from streamlog.client.sync_worker import Worker
from streamlog.model.errors import RESOURCE_EXHAUSTED

__all__ = ["Admin", "Consumer", "Producer", "Worker"]

HANDOVER_RECORDS_MAX: Final = 10_000
"""Records of `send_nowait` that the loop's thread has not taken yet; beyond it the caller waits."""
END_TIMEOUT_S: Final = 1.0
"""How long the last client that closes waits for gRPC's own work to end."""
CHUNK_RECORDS: Final = 1_000
"""`send_many` hands over so many at a time."""
GROUP_CALLBACKS: Final = ("on_assigned", "on_revoked", "on_lost")

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")


class _SharedLoop:
    """One event loop in a thread of its own for all blocking clients of the process that are open.

    gRPC wakes every loop of a process for each completion, and what completes for a loop that has
    closed comes to whichever runs then; those that had nothing to do complain. So the clients
    share a loop; it ends with the last of them, when gRPC's own work on it has ended, and leaves
    the process to whatever loop comes next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def acquire(self) -> asyncio.AbstractEventLoop:
        """For one more client; a fork has none of its parent's threads, and gets its own."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._users, self._loop = os.getpid(), 0, None
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_exception_handler(_on_loop_error)
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="streamlog blocking clients", daemon=True
                )
                self._thread.start()
            self._users += 1
            return self._loop

    def release(self) -> None:
        """A client has closed."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            assert loop is not None
            assert thread is not None
            asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _end_tasks() -> None:
    """GRPC's own tasks outlive its calls by a moment: what they wait for would come to the next
    loop."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=END_TIMEOUT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """GRPC woke this loop for another one: that is no error (grpc/grpc issue 25364)."""
    error = context.get("exception")
    late = isinstance(error, RuntimeError) and str(error) == "Event loop is closed"
    if not (late or isinstance(error, BlockingIOError)):
        loop.default_exception_handler(context)


_SHARED: Final = _SharedLoop()


class _Worker:
    """Runs the calls of one object on the process's loop."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pid = os.getpid()
        self._loop = _SHARED.acquire()
        self.is_closed = False

    def check(self) -> None:
        """Raises WrongUse, ClientClosed."""
        if os.getpid() != self._pid:
            raise WrongUse(
                f"the {self._what} was made in process {self._pid} and is used in its fork"
                f" {os.getpid()}; make it after the fork"
            )
        if self.is_closed:
            raise closed(self._what)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise WrongUse(
            f"the {self._what} would block the event loop that runs in this thread; use"
            " streamlog.client there"
        )

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """The result; an interrupt of the waiting thread cancels the work."""
        try:
            self.check()
        except ClientError:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def now_s(self) -> float:
        """The loop's clock, from any thread."""
        return self._loop.time()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call it in the loop's thread."""
        self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """The object needs the loop no more."""
        if not self.is_closed:
            self.is_closed = True
            _SHARED.release()


class _Blocking:
    """What the three have in common: a twin, the loop it lives on, and an end."""

    _what = ""
    _twin: Any

    def __init__(self) -> None:
        self._worker = _Worker(self._what)

    def __enter__(self) -> Self:
        self._worker.check()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._close(None if error is None else aio_producer.CLOSE_AFTER_ERROR_MS)
        except ClientError as lost:
            if error is None:
                raise
            error.add_note(str(lost))

    def close(self) -> None:
        """End the connections."""
        self._close(None)

    def _close(self, timeout_ms: float | None) -> None:
        if not self._worker.is_closed:
            try:
                self._worker.run(self._twin.close())
            finally:
                self._worker.close()

    def _make(self, make: Callable[[], ResultT]) -> ResultT:
        """Make the twin where it will be used. A refused argument leaves no thread behind."""

        async def work() -> ResultT:
            return make()

        try:
            return self._worker.run(work())
        except BaseException:
            self._worker.close()
            raise


def _waits(
    method: Callable[Concatenate[Any, ParamsT], Awaitable[ResultT]],
) -> Callable[Concatenate[Any, ParamsT], ResultT]:
    """A method that runs the twin's and waits for its result."""

    @wraps(method)
    def call(self: Any, /, *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
        async def work() -> ResultT:
            return await method(self._twin, *args, **kwargs)

        return self._worker.run(work())  # type: ignore[no-any-return]

    return call


def _hands_over(
    method: Callable[Concatenate[Any, ParamsT], ResultT],
) -> Callable[Concatenate[Any, ParamsT], ResultT]:
    """A method that runs the twin's, which does not wait, in the twin's thread."""

    @wraps(method)
    def call(self: Any, /, *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
        async def work() -> ResultT:
            return method(self._twin, *args, **kwargs)

        return self._worker.run(work())  # type: ignore[no-any-return]

    return call


class Admin(_Blocking):
    """As `streamlog.client.Admin`; a context manager."""

    _what = "admin"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._twin = self._make(partial(aio_admin.Admin, *args, **kwargs))

    create_topic = _waits(aio_admin.Admin.create_topic)
    alter_topic = _waits(aio_admin.Admin.alter_topic)
    add_partitions = _waits(aio_admin.Admin.add_partitions)
    delete_topic = _waits(aio_admin.Admin.delete_topic)
    list_topics = _waits(aio_admin.Admin.list_topics)
    describe_topic = _waits(aio_admin.Admin.describe_topic)
    describe_cluster = _waits(aio_admin.Admin.describe_cluster)
    describe_node = _waits(aio_admin.Admin.describe_node)
    describe_replicas = _waits(aio_admin.Admin.describe_replicas)
    describe_damage = _waits(aio_admin.Admin.describe_damage)
    force_recover = _waits(aio_admin.Admin.force_recover)
    force_recover_cluster = _waits(aio_admin.Admin.force_recover_cluster)
    set_node_condition = _waits(aio_admin.Admin.set_node_condition)
    drain_node = _waits(aio_admin.Admin.drain_node)
    begin_maintenance = _waits(aio_admin.Admin.begin_maintenance)
    return_to_service = _waits(aio_admin.Admin.return_to_service)
    remove_node = _waits(aio_admin.Admin.remove_node)
    set_controllers = _waits(aio_admin.Admin.set_controllers)
    move_partitions = _waits(aio_admin.Admin.move_partitions)
    set_replication_factor = _waits(aio_admin.Admin.set_replication_factor)
    rebalance = _waits(aio_admin.Admin.rebalance)
    list_moves = _waits(aio_admin.Admin.list_moves)
    list_offsets = _waits(aio_admin.Admin.list_offsets)
    trim = _waits(aio_admin.Admin.trim)
    list_groups = _waits(aio_admin.Admin.list_groups)
    describe_group = _waits(aio_admin.Admin.describe_group)
    group_offsets = _waits(aio_admin.Admin.group_offsets)
    reset_group_offsets = _waits(aio_admin.Admin.reset_group_offsets)
    delete_group_offsets = _waits(aio_admin.Admin.delete_group_offsets)
    delete_group = _waits(aio_admin.Admin.delete_group)


class Consumer(_Blocking):
    """As `streamlog.client.Consumer`; a context manager, and an iterator over records."""

    _what = "consumer"
    _twin: aio_consumer.Consumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._callbacks = ThreadPoolExecutor(1, "streamlog callbacks of a consumer")
        self._calling_back = 0
        """Identity of the thread of the callback that runs."""
        for name in GROUP_CALLBACKS:
            if kwargs.get(name) is not None:
                kwargs[name] = self._in_thread(kwargs[name])
        self._twin = self._make(partial(aio_consumer.Consumer, *args, **kwargs))
        self._worker.run(self._twin.__aenter__())

    def _in_thread(
        self, callback: Callable[[list[TopicPartition]], None]
    ) -> Callable[[list[TopicPartition]], Awaitable[None]]:
        def in_thread(partitions: list[TopicPartition]) -> None:
            self._calling_back = threading.get_ident()
            try:
                callback(partitions)
            finally:
                self._calling_back = 0

        async def call(partitions: list[TopicPartition]) -> None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._callbacks, in_thread, partitions)

        return call

    subscribe = _waits(aio_consumer.Consumer.subscribe)
    commit = _waits(aio_consumer.Consumer.commit)
    commit_nowait = _hands_over(aio_consumer.Consumer.commit_nowait)
    committed = _waits(aio_consumer.Consumer.committed)
    lag = _hands_over(aio_consumer.Consumer.lag)
    assign = _hands_over(aio_consumer.Consumer.assign)
    pause = _hands_over(aio_consumer.Consumer.pause)
    resume = _hands_over(aio_consumer.Consumer.resume)
    partitions_for = _waits(aio_consumer.Consumer.partitions_for)
    seek = _waits(aio_consumer.Consumer.seek)
    seek_to_beginning = _waits(aio_consumer.Consumer.seek_to_beginning)
    seek_to_end = _waits(aio_consumer.Consumer.seek_to_end)
    seek_to_time = _waits(aio_consumer.Consumer.seek_to_time)
    position = _waits(aio_consumer.Consumer.position)
    beginning_offsets = _waits(aio_consumer.Consumer.beginning_offsets)
    end_offsets = _waits(aio_consumer.Consumer.end_offsets)
    offsets_for_times = _waits(aio_consumer.Consumer.offsets_for_times)
    getone = _waits(aio_consumer.Consumer.getone)
    getmany = _waits(aio_consumer.Consumer.getmany)

    @property
    def assignment(self) -> list[TopicPartition]:
        """Partitions that are read."""
        self._worker.check()
        return self._twin.assignment

    @property
    def membership(self) -> MembershipView:
        """The member as it sees itself. Raises WrongUse without a group."""

        async def work() -> MembershipView:
            return self._twin.membership

        return self._worker.run(work())

    def __iter__(self) -> Iterator[ConsumerRecord]:
        """Records one by one, for ever."""
        while True:
            records = self._worker.run(self._twin.next_records())
            assert records is not None
            lease = self._twin.lease
            if lease is None:
                yield from records
                continue
            for record in records:
                if self._worker.now_s() >= lease.until_s:
                    self._take_back(record)
                    break
                yield record

    def _take_back(self, record: ConsumerRecord) -> None:
        """This process stood still: somebody else may have the partition."""

        async def work() -> None:
            self._twin.take_back(record)

        self._worker.run(work())

    def close(self, *, leave: bool = True) -> None:
        """As the twin's; the records that were handed out count as done."""
        self._end(leave=leave, finished=sys.exc_info()[1] is None)

    def _close(self, timeout_ms: float | None) -> None:
        """At the end of a `with` block; a timeout is given when an exception ended it."""
        self._end(leave=True, finished=timeout_ms is None)

    def _end(self, *, leave: bool, finished: bool) -> None:
        if self._calling_back == threading.get_ident():
            raise WrongUse("the consumer is closed in one of its callbacks; do it elsewhere")
        if not self._worker.is_closed:
            try:
                self._worker.run(self._twin.end(leave=leave, finished=finished))
            finally:
                self._worker.close()
                self._callbacks.shutdown(wait=False)


class Producer(_Blocking):
    """As `streamlog.client.Producer`; a context manager."""

    _what = "producer"
    _twin: aio_producer.Producer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._twin = self._make(partial(aio_producer.Producer, *args, **kwargs))
        self._max_block_ms: float | None = kwargs.get("max_block_ms")
        self._handed: list[tuple[Callable[[], None], Delivery | None]] = []
        self._refused: list[ClientError] = []
        """Of records that were handed over without a callback, since the last flush."""
        self._changed = threading.Condition()
        self._draining = False
        self._worker.run(self._twin.start())

    send = _waits(aio_producer.Producer.send)
    append_batch = _waits(aio_producer.Producer.append_batch)

    @property
    def sent_bytes(self) -> int:
        """Bytes of batches sent so far, compressed."""
        return self._twin.sent_bytes

    def send_nowait(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
        partition: int | None = None,
        on_delivery: Delivery | None = None,
    ) -> None:
        """Hand a record over without waiting for its acknowledgement.

        Waits only while HANDOVER_RECORDS_MAX records wait for room in the producer's buffer, at
        most `max_block_ms`. Raises BufferFull then. What is wrong with the record itself is told
        to `on_delivery`, or without one by `flush` and `close`.
        """
        self._worker.check()
        send = partial(
            self._twin.send_nowait,
            topic,
            value,
            key=key,
            headers=headers,
            timestamp_ms=timestamp_ms,
            partition=partition,
            on_delivery=on_delivery,
        )
        with self._changed:
            if len(self._handed) >= HANDOVER_RECORDS_MAX:
                self._await_handover()
            self._handed.append((send, on_delivery))
            if not self._draining:
                self._draining = True
                self._worker.call_soon(self._start_drain)

    def _await_handover(self) -> None:
        timeout_s = None if self._max_block_ms is None else self._max_block_ms / 1_000
        if not self._changed.wait_for(lambda: len(self._handed) < HANDOVER_RECORDS_MAX, timeout_s):
            raise BufferFull(
                f"{len(self._handed)} records wait for room in the producer's buffer",
                code=RESOURCE_EXHAUSTED,
                retriable=True,
            )

    def _start_drain(self) -> None:
        self._drain_task = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        """In the loop's thread: give the producer what was handed over, in order."""
        while True:
            with self._changed:
                if not self._handed:
                    self._draining = False
                    self._changed.notify_all()
                    return
                taken, self._handed = self._handed, []
                self._changed.notify_all()
            for send, on_delivery in taken:
                try:
                    await self._hand(send)
                except ClientError as error:
                    self._refuse(error, on_delivery)
                except Exception as error:  # a serializer's, or a value of a wrong type
                    self._refuse(_as_client_error(error), on_delivery)
            await asyncio.sleep(0)

    async def _hand(self, send: Callable[[], None]) -> None:
        while True:
            try:
                send()
                return
            except NotReady:
                await self._twin.room()

    def _refuse(self, error: ClientError, on_delivery: Delivery | None) -> None:
        if on_delivery is not None:
            on_delivery(None, error)
        else:
            self._refused.append(error)

    def send_many(self, topic: str, records: Iterable[Any]) -> int:
        """Send many records; returns their number once all are buffered, not acknowledged."""
        count = 0
        iterator = iter(records)
        while chunk := list(islice(iterator, CHUNK_RECORDS)):
            count += self._worker.run(self._twin.send_many(topic, chunk))
        return count

    def flush(self) -> None:
        """Send everything now and wait until what was sent before is acknowledged.

        Raises RecordsLost when records failed that no callback was told about.
        """
        self._worker.check()
        self._await_drain(None)
        self._worker.run(self._twin.flush())
        self._raise_refused()

    def _await_drain(self, timeout_ms: float | None) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: not self._draining, None if timeout_ms is None else timeout_ms / 1_000
            )

    def _raise_refused(self) -> None:
        refused, self._refused = self._refused, []
        if refused:
            raise RecordsLost(len(refused), refused[0])

    def close(self, timeout_ms: float | None = None) -> None:
        """Send what is left, wait for the acknowledgements, and end. Raises RecordsLost."""
        self._close(timeout_ms)

    def _close(self, timeout_ms: float | None) -> None:
        if self._worker.is_closed:
            return
        self._worker.check()
        self._await_drain(timeout_ms)
        try:
            self._worker.run(self._twin.close(timeout_ms))
        finally:
            self._worker.close()
        self._raise_refused()


def _as_client_error(error: Exception) -> ClientError:
    failure = ClientError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
