"""Subscribe: the records of a topic, pushed as they commit, decoded as far as protobuf goes.

The payload of a stored batch is a serialized RecordSet, and SubscribeResponse has its records under
the same field number. So a batch is checked, inflated and passed on in three C calls, with the
offsets and times in a few fields behind it: no work per record is done here, except for a first
batch that begins before the offset asked for.

Invariant: at most PREFETCH_BYTES a leader and one response wait for a subscriber that does not
read; HTTP/2 flow control holds the rest back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from zstandard import ZstdDecompressor as Decompressor

from replication.ports import ServerStream
from streamlog.broker.duplex import run_duplex
from streamlog.broker.error_mapping import parse
from streamlog.client.consume.consumer import Consumer, StoredBatch
from streamlog.client.consume.decoding import stored_records
from streamlog.client.errors import ClientError
from streamlog.client.records import TopicPartition
from streamlog.cluster.view import ClusterView
from streamlog.gateway.errors import to_streamlog_error
from streamlog.model.batch import APPEND_TIME, CONTROL
from streamlog.model.errors import Reason, StreamlogError
from streamlog.model.record_set import new_decompressor
from streamlog.v1.log_service_pb2 import OffsetSpec
from streamlog.v1.record_pb2 import RecordSet
from streamlog.v1.record_service_pb2 import SubscribeRequest, SubscribeResponse

SUBSCRIPTIONS_MAX: Final = 2_000
"""On one node."""
PREFETCH_BYTES: Final = 256 * 1024
RESPONSE_BYTES: Final = 64 * 1024

MakeConsumer = Callable[[], Consumer]


class SubscribeService:
    """Serves Subscribe."""

    def __init__(self, make_consumer: MakeConsumer, view: ClusterView) -> None:
        """`make_consumer` makes a consumer with PREFETCH_BYTES and RESPONSE_BYTES."""
        self._make_consumer = make_consumer
        self._view = view
        self._decompressor = new_decompressor()
        self.count = 0
        """Subscriptions now."""

    async def serve(self, stream: ServerStream) -> None:
        """Handle one subscription to its end."""
        if self.count >= SUBSCRIPTIONS_MAX:
            raise StreamlogError(
                Reason.OVERLOADED,
                f"{self.count} subscriptions are served by this node, at most {SUBSCRIPTIONS_MAX}"
                " are: ask another node",
                retry_after_ms=1_000,
            )
        self.count += 1
        try:
            data = await stream.receive()
            request = parse(SubscribeRequest, data or b"")
            if not request.topic:
                raise StreamlogError(Reason.INVALID_REQUEST, "topic is empty; name one")
            async with self._make_consumer() as consumer:
                subscription = _Subscription(request, consumer, self._view, stream)
                await subscription.begin()
                await run_duplex(
                    subscription.push(self._decompressor), subscription.follow(), drain=False
                )
        except ClientError as error:
            raise to_streamlog_error(error) from error
        except ValueError as error:
            raise StreamlogError(Reason.INVALID_REQUEST, str(error)) from error
        finally:
            self.count -= 1


class _Subscription:
    def __init__(
        self,
        request: SubscribeRequest,
        consumer: Consumer,
        view: ClusterView,
        stream: ServerStream,
    ) -> None:
        self._request, self._consumer = request, consumer
        self._view, self._stream = view, stream
        self._left: dict[TopicPartition, int] = {}
        """With `until_end`: partitions that are not read to the end, and where that is."""

    async def begin(self) -> None:
        """Find out where to begin, and where to end."""
        request, consumer = self._request, self._consumer
        numbers = list(request.partitions) or await consumer.partitions_for(request.topic)
        pairs = [TopicPartition(request.topic, number) for number in numbers]
        starts = await self._starts(pairs)
        if request.until_end:
            ends = await consumer.end_offsets(pairs)
            self._left = {pair: end for pair, end in ends.items() if starts[pair] < end}
        consumer.assign(pairs, start=0)
        for pair, offset in starts.items():
            await consumer.seek(pair, offset)

    async def _starts(self, pairs: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        request, consumer = self._request, self._consumer
        match request.start:
            case OffsetSpec.OFFSET_SPEC_EARLIEST:
                starts = await consumer.beginning_offsets(pairs)
            case OffsetSpec.OFFSET_SPEC_UNSPECIFIED | OffsetSpec.OFFSET_SPEC_LATEST:
                starts = await consumer.end_offsets(pairs)
            case OffsetSpec.OFFSET_SPEC_TIMESTAMP:
                found = await consumer.offsets_for_times(dict.fromkeys(pairs, request.timestamp_ms))
                starts = {pair: at.offset for pair, at in found.items()}
            case other:
                raise StreamlogError(
                    Reason.INVALID_REQUEST,
                    f"start is {other}; allowed are 0 to {OffsetSpec.OFFSET_SPEC_TIMESTAMP}",
                )
        for start in request.offsets:
            pair = TopicPartition(request.topic, start.partition)
            if pair not in starts:
                raise StreamlogError(
                    Reason.INVALID_REQUEST,
                    f"offsets names partition {start.partition}, which is not subscribed to",
                )
            starts[pair] = start.offset
        return starts

    async def push(self, decompressor: Decompressor) -> None:
        """Send what comes, until the end if there is one."""
        if self._request.until_end and not self._left:
            return
        try:
            async for stored in self._consumer.stored_batches():
                message = _response(stored, decompressor)
                if message is not None:
                    await self._stream.send(message)
                if self._request.until_end and self._is_read_to_the_end(stored):
                    return
        except ClientError as error:
            raise to_streamlog_error(error) from error

    def _is_read_to_the_end(self, stored: StoredBatch) -> bool:
        pair = TopicPartition(stored.topic, stored.partition)
        end = self._left.get(pair)
        if end is not None and _end_of(stored) >= end:
            del self._left[pair]
        return not self._left

    async def follow(self) -> None:
        """Take up partitions that are added to the topic, from their first offset."""
        name, known = self._request.topic, len(self._consumer.assignment)
        while True:
            await self._view.changed()
            topic = self._view.topic(name)
            if topic is None or self._request.partitions or self._request.until_end:
                continue
            if len(topic.partitions) > known:
                known = len(topic.partitions)
                pairs = [(name, number) for number in range(known)]
                self._consumer.assign(pairs, start="earliest")


def _end_of(stored: StoredBatch) -> int:
    return stored.batch.base_offset + stored.batch.last_offset_delta + 1


def _response(stored: StoredBatch, decompressor: Decompressor) -> bytes | None:
    """A serialized SubscribeResponse; None for a control batch. Raises DataCorrupt."""
    batch = stored.batch
    flags = batch.format_and_flags
    if flags & CONTROL:
        return None
    records = stored_records(batch, stored.topic, decompressor)
    if batch.base_offset < stored.from_offset:
        first = stored.from_offset - batch.base_offset
        wanted = [r for r in RecordSet.FromString(records).records if r.offset_delta >= first]
        records = RecordSet(records=wanted).SerializeToString()
    fields = SubscribeResponse(
        partition=stored.partition,
        base_offset=batch.base_offset,
        base_timestamp_ms=batch.first_timestamp_ms,
        append_time_ms=batch.max_timestamp_ms if flags & APPEND_TIME else 0,
        next_offset=_end_of(stored),
    )
    return records + fields.SerializeToString()
