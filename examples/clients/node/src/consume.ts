/** The fast path out: follows partitions by Fetch, from leader to leader. */
import { decodeBatch, type StoredRecord } from "./batch.js";
import type { Cluster } from "./cluster.js";
import { Interrupted, Patience, Refusal } from "./errors.js";
import type { Flags } from "./flags.js";
import {
  FetchRequest,
  FetchResponse,
  LogServiceService,
  OffsetSpec,
} from "./generated/streamlog/v1/log_service.js";
import { say, secondsSince, show } from "./output.js";
import { responses, writer } from "./streams.js";

/** Bytes that may be on their way to this program, on each stream. */
const WINDOW_BYTES = 8n << 20n;

/** What a response brought. */
export interface Chunk {
  readonly records: readonly StoredRecord[];
  /** Where to go on: perhaps beyond the last record. */
  readonly nextOffset: bigint;
}

/** A response, and how much of the credit it took: its size as it came. */
function deserialize(bytes: Buffer): { response: FetchResponse; size: bigint } {
  return { response: FetchResponse.decode(bytes), size: BigInt(bytes.length) };
}

/** Yields what a partition has from an offset on, without an end, until the signal is given. */
export async function* follow(
  cluster: Cluster,
  topic: string,
  partition: number,
  offset: bigint,
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const { path, requestSerialize } = LogServiceService.fetch;
  const patience = new Patience();
  while (!signal.aborted) {
    let cancel = (): void => undefined;
    try {
      const { log, topicId } = await cluster.leader(topic, partition);
      const stream = log.makeBidiStreamRequest(path, requestSerialize, deserialize);
      const answers = responses(stream);
      const write = writer(stream);
      cancel = () => stream.cancel();
      signal.addEventListener("abort", cancel);
      if (signal.aborted) return;
      const wanted = { topicId, partition, offset, sessionEpoch: 1 };
      write(FetchRequest.fromPartial({ partitions: [wanted], creditBytes: WINDOW_BYTES }));
      for await (const { response, size } of answers) {
        if (response.error) throw new Refusal(response.error);
        const from = offset;
        const records = response.batches.flatMap((batch) => decodeBatch(batch, from));
        offset = response.nextOffset;
        patience.progress();
        yield { records, nextOffset: offset };
        write(FetchRequest.fromPartial({ creditBytes: size }));
      }
      throw new Interrupted("the stream ended");
    } catch (error) {
      if (signal.aborted) return;
      cluster.learn(topic, partition, error);
      await patience.after(error);
    } finally {
      signal.removeEventListener("abort", cancel);
      cancel();
    }
  }
}

/** Reads all partitions, or one, from their start, an offset or a time. */
export async function consume(cluster: Cluster, flags: Flags): Promise<void> {
  const begun = performance.now();
  const name = flags.text("topic");
  const wanted = flags.has("records") ? flags.number("records") : 0;
  const silent = flags.has("print") && flags.text("print") === "0";
  const enough = new AbortController();
  let count = 0;

  const startOf = async (partition: number): Promise<bigint> => {
    if (flags.has("offset")) return BigInt(flags.number("offset"));
    if (!flags.has("time-ms")) {
      return cluster.offset(name, partition, OffsetSpec.OFFSET_SPEC_EARLIEST);
    }
    const timeMs = BigInt(flags.number("time-ms"));
    return cluster.offset(name, partition, OffsetSpec.OFFSET_SPEC_TIMESTAMP, timeMs);
  };

  const read = async (partition: number): Promise<void> => {
    const start = await startOf(partition);
    const end = await cluster.offset(name, partition, OffsetSpec.OFFSET_SPEC_LATEST);
    if (wanted === 0 && start >= end) return;
    for await (const chunk of follow(cluster, name, partition, start, enough.signal)) {
      count += chunk.records.length;
      if (!silent) await show(chunk.records);
      if (wanted > 0 && count >= wanted) enough.abort();
      if (wanted === 0 && chunk.nextOffset >= end) return;
    }
  };

  const { topic } = await cluster.topic(name);
  const partitions = flags.has("partition")
    ? [flags.number("partition")]
    : topic.partitions.map(({ partition }) => partition);
  await Promise.all(partitions.map(read));
  const seconds = secondsSince(begun);
  say({ result: "consume", records: count, seconds, per_second: count / seconds });
}
