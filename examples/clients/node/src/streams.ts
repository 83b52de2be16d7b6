/** Streams of grpc-js with types that hold: its own take and give `any`. */
import type { Readable, Writable } from "node:stream";

/**
 * For `for await`, which throws what the stream ended with. The stream tells the same by an event,
 * also when nobody iterates any more: one without a listener would end the process.
 */
export function responses<Response>(
  stream: Readable & { deserialize: (bytes: Buffer) => Response },
): AsyncIterable<Response> {
  stream.on("error", () => undefined);
  return stream;
}

/** Writes to the stream; false when it is better to wait for "drain". */
export function writer<Request>(
  stream: Writable & { serialize: (request: Request) => Buffer },
): (request: Request) => boolean {
  return (request) => stream.write(request);
}
