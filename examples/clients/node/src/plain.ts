/** The plain path: publishes and subscribes at any node; no routing, batches or checksums. */
import { once } from "node:events";

import type { ClientDuplexStream } from "@grpc/grpc-js";

import type { Cluster } from "./cluster.js";
import { Refusal } from "./errors.js";
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

export async function plain(cluster: Cluster, flags: Flags): Promise<void> {
  const topic = flags.text("topic");
  await cluster.createTopic(topic, 2);
  const { records: service } = await cluster.any(async (node) => node);

  let begun = performance.now();
  const publishing = service.publishStream();
  const writing = publish(publishing, topic, flags.text("name"), flags.number("records"));
  writing.catch(() => undefined); // `for await` tells it.
  let stored = 0;
  for await (const response of responses(publishing)) {
    for (const { error } of response.results) if (error) throw new Refusal(error);
    stored += response.results.length;
    say({ stored });
  }
  await writing;
  const publishPerSecond = stored / secondsSince(begun);

  begun = performance.now();
  const start = OffsetSpec.OFFSET_SPEC_EARLIEST;
  let read = 0;
  const subscription = SubscribeRequest.fromPartial({ topic, start, untilEnd: true });
  for await (const response of responses(service.subscribe(subscription))) {
    const { partition, baseOffset, baseTimestampMs, appendTimeMs } = response;
    await show(
      response.records.map((record) => ({
        ...record,
        partition,
        offset: baseOffset + BigInt(record.offsetDelta),
        timestampMs: appendTimeMs || baseTimestampMs + record.timestampDeltaMs,
      })),
    );
    read += response.records.length;
  }
  say({
    result: "plain",
    records: stored,
    read,
    publish_per_second: publishPerSecond,
    subscribe_per_second: read / secondsSince(begun),
  });
}

/** Waits whenever the node takes no more. */
async function publish(
  stream: PublishStream,
  topic: string,
  name: string,
  count: number,
): Promise<void> {
  const write = writer(stream);
  for (let n = 0; n < count; n += RECORDS_IN_REQUEST) {
    const length = Math.min(RECORDS_IN_REQUEST, count - n);
    const records = Array.from({ length }, (_, i) => {
      const { key, value, headers, timestampDeltaMs } = recordOf(name, n + i);
      return { id: BigInt(n + i), key, value, headers, timestampMs: FIRST_MS + timestampDeltaMs };
    });
    if (!write(PublishRequest.fromPartial({ topic, records }))) await once(stream, "drain");
  }
  stream.end();
}
