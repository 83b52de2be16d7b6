/** The fast path in: zstd batches by the partitioner, idempotent, from leader to leader. */
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";

import { encodeBatch, nextSequence } from "./batch.js";
import { ask, type Cluster } from "./cluster.js";
import { CALL_TIMEOUT_MS, Interrupted, Patience, Refusal } from "./errors.js";
import type { Flags } from "./flags.js";
import type { RecordBatch } from "./generated/streamlog/v1/batch.js";
import type { InitProducerResponse, ProduceResult } from "./generated/streamlog/v1/log_service.js";
import type { Record } from "./generated/streamlog/v1/record.js";
import { FIRST_MS, recordOf, say, secondsSince } from "./output.js";
import { responses, writer } from "./streams.js";

const IN_FLIGHT_MAX = 5;

interface Counts {
  stored: number;
  duplicates: number;
  resent: number;
}

/** One partition of a producer: a stream to its leader, and what is unanswered on it. */
class PartitionProducer {
  readonly #waiting: RecordBatch[] = [];
  /** Sent, oldest first. Invariant: at most IN_FLIGHT_MAX. */
  readonly #unanswered: RecordBatch[] = [];
  #sequence = 0;
  #closed = false;
  #pump = (): void => undefined;
  #wakeAdder = (): void => undefined;

  constructor(
    private readonly cluster: Cluster,
    private readonly topic: string,
    private readonly partition: number,
    private readonly routingEpoch: number,
    private readonly producer: InitProducerResponse,
    private readonly counts: Counts,
  ) {}

  /** Makes a batch, and waits until there is room for the next one. */
  async add(records: readonly Record[]): Promise<void> {
    const { partition, routingEpoch } = this;
    this.#waiting.push(
      encodeBatch(records, {
        ...this.producer,
        partition,
        routingEpoch,
        baseSequence: this.#sequence,
        firstTimestampMs: FIRST_MS,
      }),
    );
    this.#sequence = nextSequence(this.#sequence, records.length);
    this.#pump();
    while (this.#waiting.length > 0) {
      await new Promise<void>((resolve) => (this.#wakeAdder = resolve));
    }
  }

  close(): void {
    this.#closed = true;
    this.#pump();
  }

  get #done(): boolean {
    return this.#closed && this.#waiting.length + this.#unanswered.length === 0;
  }

  /**
   * Stores what is added until it is closed. Whenever something goes wrong the stream is given up,
   * and what is unanswered is sent again to the leader of then: the same bytes, in order.
   */
  async run(): Promise<void> {
    const patience = new Patience();
    while (!this.#done) {
      try {
        await this.#session(patience);
      } catch (error) {
        this.cluster.learn(this.topic, this.partition, error);
        await patience.after(error);
      }
    }
  }

  async #session(patience: Patience): Promise<void> {
    const { log, topicId } = await this.cluster.leader(this.topic, this.partition);
    const stream = log.produce();
    const answers = responses(stream);
    const write = writer(stream);
    const watchdog = setInterval(() => {
      if (this.#unanswered.length > 0) stream.destroy(new Interrupted("a batch is unanswered"));
    }, CALL_TIMEOUT_MS);
    // A request is named by its sequence, which is unique among the few that are unanswered.
    const send = (batch: RecordBatch): void => {
      const requestId = BigInt(batch.baseSequence);
      write({ entries: [{ requestId, topicId, expectedEndOffset: undefined, batch }] });
    };
    this.#pump = () => {
      while (this.#unanswered.length < IN_FLIGHT_MAX && this.#waiting.length > 0) {
        const batch = this.#waiting.shift()!;
        this.#unanswered.push(batch);
        send(batch);
      }
      if (this.#waiting.length === 0) this.#wakeAdder();
      if (this.#done) stream.end();
    };
    try {
      this.counts.resent += this.#unanswered.length;
      this.#unanswered.forEach(send);
      this.#pump();
      for await (const response of answers) {
        for (const result of response.results) {
          this.#answered(result);
          patience.progress();
          watchdog.refresh();
        }
        this.#pump();
      }
      if (!this.#done) throw new Interrupted("the stream ended");
    } finally {
      clearInterval(watchdog);
      this.#pump = () => undefined;
      stream.cancel();
    }
  }

  /** Takes the result of the oldest batch: results of a partition come in order. */
  #answered(result: ProduceResult): void {
    const batch = this.#unanswered[0];
    if (batch === undefined || BigInt(batch.baseSequence) !== result.requestId) {
      throw new Error(`an answer to ${result.requestId}, not to ${batch?.baseSequence}`);
    }
    if (result.error && result.error.reason !== "DUPLICATE_SEQUENCE") {
      throw new Refusal(result.error);
    }
    if (result.duplicate || result.error) this.counts.duplicates++;
    this.#unanswered.shift();
    this.counts.stored += batch.recordCount;
    say({ stored: this.counts.stored });
  }
}

export async function produce(cluster: Cluster, flags: Flags): Promise<void> {
  const name = flags.text("topic");
  await cluster.createTopic(name, 3);
  const { routing } = (await cluster.topic(name)).topic;
  if (routing?.function !== "crc32") throw new Error(`unknown routing ${routing?.function}`);
  const producer = await cluster.any(({ log }) => ask(log.initProducer.bind(log), {}));
  const counts: Counts = { stored: 0, duplicates: 0, resent: 0 };
  const partitions = Array.from(
    { length: routing.partitionCount },
    (_, number) => new PartitionProducer(cluster, name, number, routing.epoch, producer, counts),
  );
  const begun = performance.now();
  const running = Promise.all(partitions.map((partition) => partition.run()));
  await Promise.race([running, fill(partitions, flags)]);
  await running;
  const seconds = secondsSince(begun);
  const { stored, duplicates, resent } = counts;
  say({
    result: "produce",
    records: stored,
    seconds,
    per_second: stored / seconds,
    duplicates,
    resent,
  });
}

/** Fills a batch of each partition, and moves on with records without a key when one is full. */
async function fill(partitions: readonly PartitionProducer[], flags: Flags): Promise<void> {
  const [writer, size, pauseMs] = [
    flags.text("name"),
    flags.number("batch"),
    flags.number("pause-ms"),
  ];
  const begun = partitions.map((): Record[] => []);
  let home = 0;
  for (let n = 0; n < flags.number("records"); n++) {
    const record = recordOf(writer, n);
    const to = record.key === undefined ? home : crc32(record.key) % partitions.length;
    if (begun[to]!.push(record) === size) {
      await partitions[to]!.add(begun[to]!);
      begun[to] = [];
      home = (home + 1) % partitions.length;
      if (pauseMs > 0) await sleep(pauseMs);
    }
  }
  for (const [number, partition] of partitions.entries()) {
    if (begun[number]!.length > 0) await partition.add(begun[number]!);
    partition.close();
  }
}
