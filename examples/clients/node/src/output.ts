/** What the programs write and print, as ../README.md has it. */
import { once } from "node:events";

import type { StoredRecord } from "./batch.js";
import type { Record } from "./generated/streamlog/v1/record.js";

export const FIRST_MS = 1_700_000_000_000n;
const VALUE_BYTES = 100;

/** Prints lines for whoever started the program. */
export function say(line: object): void {
  process.stdout.write(JSON.stringify(line) + "\n");
}

function hex(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : Buffer.from(bytes).toString("hex");
}

/** How a record is shown. */
export function printed(record: StoredRecord): object {
  return {
    partition: record.partition,
    offset: Number(record.offset),
    timestamp_ms: Number(record.timestampMs),
    key: hex(record.key),
    value: hex(record.value),
    headers: record.headers.map(({ name, value }) => [name, hex(value)]),
  };
}

/** Prints records, and waits while the reader does not keep up. */
export async function show(records: readonly StoredRecord[]): Promise<void> {
  const lines = records.map((record) => JSON.stringify(printed(record)) + "\n").join("");
  if (!process.stdout.write(lines)) await once(process.stdout, "drain");
}

/** Waits until everything is printed. */
export function flush(): Promise<void> {
  return new Promise((resolve) => process.stdout.write("", () => resolve()));
}

function valueOf(name: string, n: number): Buffer | undefined {
  switch (n % 100) {
    case 17:
      return undefined;
    case 18:
      return Buffer.alloc(0);
    default:
      return Buffer.from(`${name}:${n}:`.padEnd(VALUE_BYTES, "x"));
  }
}

/** Record number n of a program; its time counts from FIRST_MS. */
export function recordOf(name: string, n: number): Record {
  return {
    key: n % 10 === 9 ? undefined : Buffer.from(`key-${n % 100}`),
    value: valueOf(name, n),
    headers:
      n % 10 === 3
        ? [
            { name: "writer", value: Buffer.from(name) },
            { name: "none", value: undefined },
          ]
        : [],
    offsetDelta: 0,
    timestampDeltaMs: BigInt(n),
    recordId: undefined,
    expiresAtMs: undefined,
  };
}

/** Seconds since `begun`, a time of performance.now(). */
export function secondsSince(begun: number): number {
  return (performance.now() - begun) / 1_000;
}
