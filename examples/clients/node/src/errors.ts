/** What went wrong, whether it helps to try again, and how long to go on trying. */
import { setTimeout as sleep } from "node:timers/promises";

import { status, type ServiceError } from "@grpc/grpc-js";

import { ErrorInfo, RetryInfo, Status } from "./generated/status.js";
import type { Error as Told } from "./generated/streamlog/v1/error.js";

export const CALL_TIMEOUT_MS = 10_000;
const DETAILS = "grpc-status-details-bin";
const PATIENCE_MS = 60_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
/** Failures that are further apart have nothing to do with each other. */
const APART_MS = 30_000;

const RETRIABLE_CODES = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.RESOURCE_EXHAUSTED,
]);
/** A topic that was just made is not known everywhere; replicas need nodes that registered. */
const RETRIABLE_REASONS = new Set([
  "UNKNOWN_TOPIC",
  "UNKNOWN_PARTITION",
  "INVALID_REPLICATION_FACTOR",
  "STALE_CATALOG",
]);

/** An error that came inside a stream or an answer. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(readonly told: Told) {
    super(`${told.reason}: ${told.message}`);
  }
}

/** Nothing was refused, but an answer does not come. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** What the node says of a failure, wherever it stood. */
export interface Details {
  reason: string;
  metadata: Record<string, string>;
  retryAfterMs: number;
}

/** The google.rpc.Status in the trailer of a failed call. */
export function decodeStatus(bytes: Uint8Array): Details & { code: number; message: string } {
  const { code, message, details } = Status.decode(bytes);
  const found = { code, message, reason: status[code] ?? "", metadata: {}, retryAfterMs: 0 };
  for (const { typeUrl, value } of details) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) {
      const info = ErrorInfo.decode(value);
      if (info.domain === "streamlog") {
        found.reason = info.reason;
        found.metadata = info.metadata;
      }
    } else if (typeUrl.endsWith("/google.rpc.RetryInfo")) {
      const { seconds, nanos } = RetryInfo.decode(value).retryDelay ?? { seconds: 0n, nanos: 0 };
      found.retryAfterMs = Number(seconds) * 1_000 + nanos / 1_000_000;
    }
  }
  return found;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}

/** Reason, or the status code of a call that was cut. */
export function detailsOf(error: unknown): Details {
  if (error instanceof Refusal) return error.told;
  if (isServiceError(error)) {
    const [trailer] = error.metadata.get(DETAILS);
    if (trailer instanceof Buffer) return decodeStatus(trailer);
    return { reason: status[error.code], metadata: {}, retryAfterMs: 0 };
  }
  const reason = error instanceof Error ? error.name : String(error);
  return { reason, metadata: {}, retryAfterMs: 0 };
}

/** Whether it may help to try again; a call that ends without details was cut. */
export function isRetriable(error: unknown): boolean {
  if (error instanceof Interrupted) return true;
  if (RETRIABLE_REASONS.has(detailsOf(error).reason)) return true;
  if (error instanceof Refusal) return error.told.retriable;
  if (!isServiceError(error)) return false;
  return RETRIABLE_CODES.has(error.code) || error.metadata.get(DETAILS).length === 0;
}

/** Pauses between attempts, and an end to them. */
export class Patience {
  #pauseMs = FIRST_PAUSE_MS;
  #failingSince = 0;
  #failedLast = Number.NEGATIVE_INFINITY;

  /** Something succeeded. */
  progress(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#failedLast = Number.NEGATIVE_INFINITY;
  }

  /** Sleeps before the next attempt; throws `error` if there is no use in one. */
  async after(error: unknown): Promise<void> {
    const now = performance.now();
    if (now - this.#failedLast > APART_MS) {
      this.#failingSince = now;
      this.#pauseMs = FIRST_PAUSE_MS;
    }
    this.#failedLast = now;
    if (!isRetriable(error) || now - this.#failingSince > PATIENCE_MS) throw error;
    const jitter = 0.75 + Math.random() / 2;
    await sleep(Math.max(this.#pauseMs * jitter, detailsOf(error).retryAfterMs));
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }
}

/** Repeats work until it succeeds, can not succeed, or failed for too long. */
export async function patiently<T>(work: (patience: Patience) => Promise<T>): Promise<T> {
  const patience = new Patience();
  for (;;) {
    try {
      return await work(patience);
    } catch (error) {
      await patience.after(error);
    }
  }
}
