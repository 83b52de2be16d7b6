/** Checks this program against proto/testdata. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { crc32 } from "node:zlib";

import { checksum, decodeBatch, decodePayload, nextSequence, packHeader } from "./batch.js";
import { crc32c } from "./crc32c.js";
import { decodeStatus } from "./errors.js";
import type { Flags } from "./flags.js";
import { RecordBatch } from "./generated/streamlog/v1/batch.js";
import { FetchResponse } from "./generated/streamlog/v1/log_service.js";
import { Record, RecordSet } from "./generated/streamlog/v1/record.js";
import { printed, say } from "./output.js";

type Hex = string | null;

/** The fields of all files. */
interface Vector {
  name?: string;
  data: string;
  key: Hex;
  value: Hex;
  headers: [string, Hex][];
  offset_delta: number;
  timestamp_delta_ms: number;
  record_id?: Hex;
  expires_at_ms?: number | null;
  in_record_set: string;
  record_set: string;
  payload: string;
  packed: string;
  payload_crc32c: number;
  batch: string;
  reason: string;
  response: string;
  from_offset: number;
  records: object[] | null;
  next_offset: number;
  group: string;
  crc32: number;
  crc32c: number;
  partitions: [number, number][];
  base_sequence: number;
  record_count: number;
  next_base_sequence: number;
  status: string;
  code: number;
  message: string;
  metadata: { [name: string]: string };
  retry_after_ms: number;
}

const bytes = (text: string): Buffer => Buffer.from(text, "hex");
const optional = (text: Hex | undefined): Buffer | undefined =>
  text === null || text === undefined ? undefined : bytes(text);

function isSpread(v: Vector, key: Buffer): boolean {
  const sum = crc32(key);
  return sum === v.crc32 && v.partitions.every(([count, number]) => sum % count === number);
}

function fitsRecord(v: Vector): boolean {
  const record = Record.fromPartial({
    key: optional(v.key),
    value: optional(v.value),
    headers: v.headers.map(([name, value]) => ({ name, value: optional(value) })),
    offsetDelta: v.offset_delta,
    timestampDeltaMs: BigInt(v.timestamp_delta_ms),
    recordId: optional(v.record_id),
    expiresAtMs:
      v.expires_at_ms === undefined || v.expires_at_ms === null
        ? undefined
        : BigInt(v.expires_at_ms),
  });
  const serialized = bytes(v.in_record_set);
  return (
    serialized.equals(RecordSet.encode({ records: [record] }).finish()) &&
    isDeepStrictEqual(RecordSet.decode(serialized).records, [record])
  );
}

function fitsBatch(v: Vector): boolean {
  const serialized = bytes(v.batch);
  const batch = RecordBatch.decode(serialized);
  return (
    packHeader(batch).equals(bytes(v.packed)) &&
    batch.payload.equals(bytes(v.payload)) &&
    checksum(batch) === v.payload_crc32c &&
    bytes(v.record_set).equals(decodePayload(batch)) &&
    serialized.equals(RecordBatch.encode(batch).finish())
  );
}

function isRefused(v: Vector): boolean {
  const batch = RecordBatch.decode(bytes(v.batch));
  return (checksum(batch) === batch.payloadCrc32c) === (v.reason !== "CORRUPT_BATCH");
}

function fitsFetch(v: Vector): boolean {
  const { batches, nextOffset } = FetchResponse.decode(bytes(v.response));
  if (nextOffset !== BigInt(v.next_offset)) return false;
  try {
    const found = batches.flatMap((batch) => decodeBatch(batch, BigInt(v.from_offset)));
    // The vectors do not repeat the partition.
    const shown = found.map((record) => ({ ...printed(record), partition: undefined }));
    const expected = v.records?.map((record) => ({ ...record, partition: undefined }));
    return isDeepStrictEqual(shown, expected);
  } catch {
    return v.records === null;
  }
}

function fitsStatus(v: Vector): boolean {
  const { code, message, reason, metadata, retry_after_ms: retryAfterMs } = v;
  const expected = { code, message, reason, metadata, retryAfterMs };
  return isDeepStrictEqual(decodeStatus(bytes(v.status)), expected);
}

const FILES: { [name: string]: (v: Vector) => boolean } = {
  "crc32c.json": (v) => crc32c(bytes(v.data)) === v.crc32c,
  "records.json": fitsRecord,
  "batches.json": fitsBatch,
  "refused.json": isRefused,
  "fetches.json": fitsFetch,
  "partitions.json": (v) => isSpread(v, bytes(v.key ?? "")),
  "coordinators.json": (v) => isSpread(v, Buffer.from(v.group)),
  "sequences.json": (v) => nextSequence(v.base_sequence, v.record_count) === v.next_base_sequence,
  "statuses.json": fitsStatus,
};

export async function vectors(flags: Flags): Promise<void> {
  for (const [file, fits] of Object.entries(FILES)) {
    const text = await readFile(join(flags.text("data"), file), "utf8");
    const { vectors } = JSON.parse(text) as { vectors: Vector[] };
    for (const [i, vector] of vectors.entries()) {
      if (!fits(vector)) throw new Error(`${file}: vector ${i} ${vector.name ?? ""} does not fit`);
    }
    say({ file, checked: vectors.length });
  }
}
