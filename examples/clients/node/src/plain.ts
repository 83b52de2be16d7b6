/** The plain path: publishes and subscribes at any node; no routing, batches or checksums. */
import { once } from "node:events";

import type { ClientDuplexStream } from "@grpc/grpc-js";

import type { Cluster } from "./cluster.js";
import { Interrupted, isRetriable, patiently, type Patience, Refusal } from "./errors.js";
import type { Flags } from "./flags.js";
import { OffsetSpec } from "./generated/streamlog/v1/log_service.js";
import {
  PublishRequest,
  SubscribeRequest,
  type PublishResponse,
} from "./generated/streamlog/v1/record_service.js";
import { FIRST_MS, recordOf, say, secondsSince, show } from "./output.js";
import { responses, writer } from "./streams.js";

const RECORDS_IN_REQUEST = 100;

type PublishStream = ClientDuplexStream<PublishRequest, PublishResponse>;

/**
 * Publishes by one stream after the other. Records without a result are published again, and may be
 * there twice: who minds takes the fast path.
 */
class Publisher {
  /** Numbers of records that are not stored yet. */
  readonly #left: Set<number>;
  #sent = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly topic: string,
    private readonly name: string,
    private readonly count: number,
  ) {
    this.#left = new Set(Array(count).keys());
  }

  /** How many records were sent again. */
  get resent(): number {
    return this.#sent - this.count;
  }

  /** One stream, until every record has its result. */
  async run(patience: Patience): Promise<void> {
    const { records: service } = await this.cluster.any(async (node) => node);
    const stream = service.publishStream();
    const ended = new AbortController();
    const writing = this.#write(stream, [...this.#left], ended.signal);
    writing.catch((error: unknown) => stream.destroy(error as Error)); // `for await` tells it.
    let failure: Error = new Interrupted("records without a result");
    try {
      for await (const { results } of responses(stream)) {
        for (const { id, error } of results) {
          if (error === undefined) {
            this.#left.delete(Number(id));
            continue;
          }
          failure = new Refusal({ ...error, retriable: error.retriable || error.indefinite });
          if (!isRetriable(failure)) throw failure;
        }
        say({ stored: this.count - this.#left.size });
        patience.progress();
      }
    } finally {
      ended.abort();
      stream.cancel();
    }
    if (this.#left.size > 0) throw failure;
  }

  /** Waits whenever the node takes no more. */
  async #write(stream: PublishStream, left: number[], signal: AbortSignal): Promise<void> {
    const write = writer(stream);
    for (let first = 0; first < left.length && !signal.aborted; first += RECORDS_IN_REQUEST) {
      const records = left.slice(first, first + RECORDS_IN_REQUEST).map((n) => {
        const { key, value, headers, timestampDeltaMs } = recordOf(this.name, n);
        return { id: BigInt(n), key, value, headers, timestampMs: FIRST_MS + timestampDeltaMs };
      });
      this.#sent += records.length;
      const request = PublishRequest.fromPartial({ topic: this.topic, records });
      if (!write(request)) await once(stream, "drain", { signal });
    }
    stream.end();
  }
}

/** Reads a topic to its end by one stream after the other. */
class Subscriber {
  /** Where to go on, by partition. */
  readonly #positions = new Map<number, bigint>();
  read = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly topic: string,
  ) {}

  /** One stream, to what is the end when it begins. */
  async run(patience: Patience): Promise<void> {
    const { records: service } = await this.cluster.any(async (node) => node);
    const request = SubscribeRequest.fromPartial({
      topic: this.topic,
      start: OffsetSpec.OFFSET_SPEC_EARLIEST,
      offsets: [...this.#positions].map(([partition, offset]) => ({ partition, offset })),
      untilEnd: true,
    });
    for await (const response of responses(service.subscribe(request))) {
      const { partition, baseOffset, baseTimestampMs, appendTimeMs } = response;
      await show(
        response.records.map((record) => ({
          ...record,
          partition,
          offset: baseOffset + BigInt(record.offsetDelta),
          timestampMs: appendTimeMs || baseTimestampMs + record.timestampDeltaMs,
        })),
      );
      this.read += response.records.length;
      this.#positions.set(partition, response.nextOffset);
      patience.progress();
    }
  }
}

export async function plain(cluster: Cluster, flags: Flags): Promise<void> {
  const topic = flags.text("topic");
  const count = flags.number("records");
  await cluster.createTopic(topic, 2);

  let begun = performance.now();
  const publisher = new Publisher(cluster, topic, flags.text("name"), count);
  await patiently((patience) => publisher.run(patience));
  const publishPerSecond = count / secondsSince(begun);

  begun = performance.now();
  const subscriber = new Subscriber(cluster, topic);
  await patiently((patience) => subscriber.run(patience));
  say({
    result: "plain",
    records: count,
    read: subscriber.read,
    resent: publisher.resent,
    publish_per_second: publishPerSecond,
    subscribe_per_second: subscriber.read / secondsSince(begun),
  });
}
