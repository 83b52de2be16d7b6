/** Batches: what producers make of records, and what consumers make of batches. */
import { compress, decompress, init } from "@bokuweb/zstd-wasm";

import { crc32c } from "./crc32c.js";
import { RecordBatch } from "./generated/streamlog/v1/batch.js";
import { RecordSet, type Record } from "./generated/streamlog/v1/record.js";

/** Bits of format_and_flags. */
const Flag = {
  formatVersion: 1,
  codecNone: 1 << 8,
  codecZstd: 2 << 8,
  appendTime: 1 << 12,
  control: 1 << 13,
  hasProducer: 1 << 15,
  deleteHorizon: 1 << 17,
  encrypted: 1 << 18,
} as const;

const PAYLOAD_BYTES_MAX = 64 << 20;
const COMPRESSION_LEVEL = 1;
/** Smaller sets gain nothing, and some libraries leave the content size out of their frames. */
const COMPRESS_FROM_BYTES = 256;
const SEQUENCES = 2 ** 31;

await init();

/** A record as a consumer sees it. */
export interface StoredRecord extends Pick<Record, "key" | "value" | "headers"> {
  readonly partition: number;
  readonly offset: bigint;
  readonly timestampMs: bigint;
}

/** Who writes a batch, and where to. */
export interface BatchOrigin {
  readonly partition: number;
  readonly routingEpoch: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  /** What the deltas of the records count from. */
  readonly firstTimestampMs: bigint;
}

export function nextSequence(baseSequence: number, recordCount: number): number {
  return (baseSequence + recordCount) % SEQUENCES;
}

/** What the checksum covers before the payload. */
export function packHeader(batch: RecordBatch): Buffer {
  const stamped = (batch.formatAndFlags & Flag.appendTime) !== 0;
  const flags = batch.formatAndFlags & ~(Flag.appendTime | Flag.deleteHorizon);
  const packed = Buffer.alloc(64);
  let at = packed.writeUInt32LE(flags >>> 0);
  at = packed.writeUInt32LE(batch.partition, at);
  at = packed.writeUInt32LE(batch.lastOffsetDelta, at);
  at = packed.writeUInt32LE(batch.recordCount, at);
  at = packed.writeBigInt64LE(batch.firstTimestampMs, at);
  at = packed.writeBigInt64LE(stamped ? 0n : batch.maxTimestampMs, at);
  at = packed.writeBigUInt64LE(batch.producerId, at);
  at = packed.writeUInt32LE(batch.producerEpoch, at);
  at = packed.writeUInt32LE(batch.baseSequence, at);
  at = packed.writeUInt32LE(batch.schemaId, at);
  at = packed.writeUInt32LE(batch.routingEpoch, at);
  at = packed.writeUInt32LE(batch.encryptionKeyId, at);
  packed.writeUInt32LE(batch.uncompressedBytes, at);
  return packed;
}

export function checksum(batch: RecordBatch): number {
  return crc32c(batch.payload, crc32c(packHeader(batch)));
}

/** Numbers the records and makes a batch of them. */
export function encodeBatch(records: readonly Record[], origin: BatchOrigin): RecordBatch {
  const numbered = records.map((record, offsetDelta) => ({ ...record, offsetDelta }));
  const plain = RecordSet.encode({ records: numbered }).finish();
  const compressed = plain.length >= COMPRESS_FROM_BYTES;
  const latest = records
    .map((record) => record.timestampDeltaMs)
    .reduce((one, other) => (other > one ? other : one));
  const batch = RecordBatch.fromPartial({
    ...origin,
    formatAndFlags:
      Flag.formatVersion | Flag.hasProducer | (compressed ? Flag.codecZstd : Flag.codecNone),
    recordCount: records.length,
    lastOffsetDelta: records.length - 1,
    maxTimestampMs: origin.firstTimestampMs + latest,
    uncompressedBytes: plain.length,
    payload: Buffer.from(compressed ? compress(plain, COMPRESSION_LEVEL) : plain),
  });
  batch.payloadCrc32c = checksum(batch);
  return batch;
}

/** The serialized RecordSet. Nothing of a batch is believed before its checksum. */
export function decodePayload(batch: RecordBatch): Uint8Array {
  const flags = batch.formatAndFlags;
  if ((flags & 0xff) > Flag.formatVersion || (flags & Flag.encrypted) !== 0) {
    throw new Error(`format ${flags.toString(16)} is newer than this client`);
  }
  if (checksum(batch) !== batch.payloadCrc32c) {
    throw new Error(`the batch at offset ${batch.baseOffset} fails its checksum`);
  }
  if (batch.uncompressedBytes > PAYLOAD_BYTES_MAX) {
    throw new Error(`a payload of ${batch.uncompressedBytes} bytes`);
  }
  if ((flags & 0xf00) === Flag.codecNone) return batch.payload;
  const plain = decompress(batch.payload);
  if (plain.length !== batch.uncompressedBytes) {
    throw new Error(`a payload of ${plain.length} bytes instead of ${batch.uncompressedBytes}`);
  }
  return plain;
}

/** The records of a batch from an offset on; control batches have none. */
export function decodeBatch(batch: RecordBatch, from: bigint): StoredRecord[] {
  if ((batch.formatAndFlags & Flag.control) !== 0) return [];
  const stamped = (batch.formatAndFlags & Flag.appendTime) !== 0;
  const { records } = RecordSet.decode(decodePayload(batch));
  const stored = records.map((record) => ({
    key: record.key,
    value: record.value,
    headers: record.headers,
    partition: batch.partition,
    offset: batch.baseOffset + BigInt(record.offsetDelta),
    timestampMs: stamped ? batch.maxTimestampMs : batch.firstTimestampMs + record.timestampDeltaMs,
  }));
  return batch.baseOffset < from ? stored.filter((record) => record.offset >= from) : stored;
}
