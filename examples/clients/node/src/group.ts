/** A member of a group: reads what it is assigned, and gives it up in time. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { ClientDuplexStream } from "@grpc/grpc-js";

import { ask, type Cluster, type Node } from "./cluster.js";
import { follow } from "./consume.js";
import { detailsOf, Interrupted, Patience, Refusal } from "./errors.js";
import type { Flags } from "./flags.js";
import { Error as Told } from "./generated/streamlog/v1/error.js";
import {
  MemberJoin,
  type AssignedPartition,
  type MemberAssignment,
  type MemberCommitAnswer,
  type MemberRequest,
  type MemberResponse,
} from "./generated/streamlog/v1/group_service.js";
import { say, secondsSince, show } from "./output.js";
import { responses, writer } from "./streams.js";

const SESSION_TIMEOUT_MS = 10_000;
const COMMIT_INTERVAL_MS = 100;
const FENCE_POLL_MS = 50;

type Stream = ClientDuplexStream<MemberRequest, MemberResponse>;
type Request = NonNullable<MemberRequest["request"]>;

/** A partition that the member owns, since a grant. */
class Hold {
  readonly partition: number;
  readonly topicId: bigint;
  readonly grantEpoch: bigint;
  readonly reading = new AbortController();
  /** Of the next record to hand out. */
  position: bigint;
  /** What was sent of it, and what was confirmed. Invariant: committed <= sent <= position. */
  sent: bigint;
  committed: bigint;

  constructor({ partition, topicId, grantEpoch, committed }: AssignedPartition) {
    this.partition = partition;
    this.topicId = topicId;
    this.grantEpoch = grantEpoch;
    this.position = this.sent = this.committed = committed?.offset ?? 0n;
  }
}

class Member {
  #id: string = randomUUID();
  #epoch = 0n;
  #assignedCount = 0;
  readonly #held = new Map<number, Hold>();
  #stream: Stream | undefined;
  /** When the last heartbeat that was confirmed was sent, or the join. */
  #confirmedAt = Number.NEGATIVE_INFINITY;
  readonly #heartbeats = new Map<bigint, number>();
  readonly #commits = new Map<bigint, Map<Hold, bigint>>();
  #sequence = 0n;
  #handled = 0n;
  #leaving = false;
  #left = false;
  #broken: unknown;
  records = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly topic: string,
    private readonly group: string,
  ) {}

  /** Stops handing out, commits, and leaves. */
  leave(): void {
    this.#leaving = true;
    for (const hold of this.#held.values()) hold.reading.abort();
  }

  /** Goes from stream to stream until it has left. */
  async run(): Promise<void> {
    const patience = new Patience();
    for (;;) {
      try {
        await this.#session(patience);
        return;
      } catch (error) {
        const { reason } = detailsOf(error);
        say({ rejoining: reason });
        if (reason === "UNKNOWN_MEMBER" || reason === "STALE_MEMBER_EPOCH") {
          if (this.#left) return; // It left, and the answer was lost.
          for (const hold of this.#held.values()) this.#drop(hold);
          this.#id = randomUUID();
          this.#epoch = 0n;
          await patience.after(new Interrupted(reason)); // Another member, but the same work.
        } else {
          this.#left = false;
          await patience.after(error);
        }
      }
    }
  }

  async #coordinator(): Promise<Node> {
    const { group } = this;
    const address = await this.cluster.any(async ({ groups }) => {
      const { leaderAddress } = await ask(groups.findCoordinator.bind(groups), { group });
      if (leaderAddress !== "") return leaderAddress;
      throw new Refusal(Told.fromPartial({ reason: "LEADER_NOT_AVAILABLE", retriable: true }));
    });
    return this.cluster.node(address);
  }

  /** One stream to the coordinator, from join to its end. */
  async #session(patience: Patience): Promise<void> {
    const { groups } = await this.#coordinator();
    const stream = groups.membership();
    this.#stream = stream;
    this.#heartbeats.clear();
    this.#commits.clear();
    for (const hold of this.#held.values()) hold.sent = hold.committed;
    const joinedAt = performance.now();
    const value = MemberJoin.fromPartial({
      group: this.group,
      memberId: this.#id,
      topics: [this.topic],
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      clientId: "node",
      memberEpoch: this.#epoch,
    });
    this.#send({ $case: "join", value });
    const committing = setInterval(() => this.#tick(), COMMIT_INTERVAL_MS);
    let heartbeats: NodeJS.Timeout | undefined;
    try {
      for await (const { response } of responses(stream)) {
        if (response?.$case === "assignment") {
          patience.progress();
          this.#confirmedAt = Math.max(this.#confirmedAt, joinedAt);
          const interval = response.value.heartbeatIntervalMs;
          heartbeats ??= setInterval(() => this.#heartbeat(), interval);
          this.#take(response.value);
        } else if (response?.$case === "heartbeat") {
          const sentAt = this.#heartbeats.get(response.value.sequence);
          this.#heartbeats.delete(response.value.sequence);
          this.#confirmedAt = Math.max(this.#confirmedAt, sentAt ?? this.#confirmedAt);
        } else if (response?.$case === "commit") {
          this.#committed(response.value);
        } else if (response?.$case === "error") {
          console.error(new Refusal(response.value).message);
        }
      }
      if (!this.#left) throw new Interrupted("the stream ended");
    } finally {
      clearInterval(committing);
      clearInterval(heartbeats);
      this.#stream = undefined;
      stream.cancel();
    }
  }

  #send(request: Request): void {
    if (this.#stream) writer(this.#stream)({ request });
  }

  /** Somebody else may own what this member holds. */
  get #fenced(): boolean {
    return performance.now() - this.#confirmedAt > SESSION_TIMEOUT_MS;
  }

  #heartbeat(): void {
    const sequence = ++this.#sequence;
    this.#heartbeats.set(sequence, performance.now());
    const value = {
      sequence,
      memberEpoch: this.#epoch,
      assignedCount: this.#assignedCount,
      handledCount: this.#handled,
    };
    this.#send({ $case: "heartbeat", value });
  }

  #tick(): void {
    if (this.#broken) this.#stream?.destroy(this.#broken as Error);
    this.#handled++; // It looked, and is alive.
    this.#commit([...this.#held.values()]);
    const held = [...this.#held.values()];
    if (!this.#leaving || this.#left || this.#epoch === 0n) return;
    if (held.every((hold) => hold.position === hold.committed)) {
      this.#left = true;
      this.#send({ $case: "leave", value: {} });
    }
  }

  /** Hands out the records of a partition, and looks at the clock before each of them. */
  async #read(hold: Hold): Promise<void> {
    const { signal } = hold.reading;
    for await (const chunk of follow(
      this.cluster,
      this.topic,
      hold.partition,
      hold.position,
      signal,
    )) {
      for (const record of chunk.records) {
        while (this.#fenced && !signal.aborted) await sleep(FENCE_POLL_MS);
        if (signal.aborted) return;
        hold.position = record.offset + 1n;
        await show([record]);
        this.records++;
        this.#handled++;
      }
      if (signal.aborted) return;
      hold.position = chunk.nextOffset;
    }
  }

  /** Compares what the member owns with what it holds. */
  #take(assignment: MemberAssignment): void {
    const { assigned, revoking, memberEpoch } = assignment;
    const revoked = revoking.map((each) => each.partition);
    // At the epoch at which the positions were taken: if one was reset since, and granted anew,
    // this must not undo it.
    this.#commit([...this.#held.values()].filter((hold) => revoked.includes(hold.partition)));
    this.#epoch = memberEpoch;
    this.#assignedCount = assigned.length;
    const grants = new Map(assigned.map((each) => [each.partition, each.grantEpoch]));
    for (const hold of this.#held.values()) {
      // Given up, or lost: then without a commit.
      if (grants.get(hold.partition) !== hold.grantEpoch) this.#drop(hold);
    }
    for (const each of assigned) {
      if (this.#held.has(each.partition)) continue;
      const hold = new Hold(each);
      this.#held.set(each.partition, hold);
      if (!this.#leaving) this.#read(hold).catch((error: unknown) => (this.#broken = error));
    }
    say({ assigned: [...grants.keys()], epoch: Number(memberEpoch) });
    if (revoking.length === 0) return;
    say({ revoked });
    // The commit was sent before it, so it is judged before it.
    this.#send({ $case: "acknowledge", value: { memberEpoch, revoked: revoking } });
  }

  #drop(hold: Hold): void {
    hold.reading.abort();
    this.#held.delete(hold.partition);
  }

  /**
   * Sends the positions that moved. Until the next assignment whatever is held is held at the
   * member's epoch, so that is the one to name.
   */
  #commit(held: readonly Hold[]): void {
    const moved = held.filter((hold) => hold.position !== hold.sent);
    if (moved.length === 0 || this.#fenced || this.#epoch === 0n || !this.#stream) return;
    const sequence = ++this.#sequence;
    const offsets = moved.map((hold) => ({
      topicId: hold.topicId,
      partition: hold.partition,
      offset: hold.position,
      leaderTerm: 0n,
      metadata: "",
      committedAtMs: 0n,
    }));
    this.#commits.set(sequence, new Map(moved.map((hold) => [hold, hold.position])));
    for (const hold of moved) hold.sent = hold.position;
    this.#send({ $case: "commit", value: { sequence, memberEpoch: this.#epoch, offsets } });
  }

  #committed({ sequence, error }: MemberCommitAnswer): void {
    const positions = this.#commits.get(sequence) ?? new Map<Hold, bigint>();
    this.#commits.delete(sequence);
    for (const [hold, position] of positions) {
      if (error) {
        hold.sent = hold.committed; // Sent again, if it is still held.
      } else if (position > hold.committed) {
        hold.committed = position;
      }
    }
    if (error) return;
    const told = [...positions].map(([hold, position]) => [hold.partition, Number(position)]);
    say({ committed: Object.fromEntries(told) });
  }
}

export async function group(cluster: Cluster, flags: Flags): Promise<void> {
  const begun = performance.now();
  const member = new Member(cluster, flags.text("topic"), flags.text("group"));
  process.stdin.on("end", () => member.leave()).resume();
  await member.run();
  const seconds = secondsSince(begun);
  const { records } = member;
  say({ result: "group", records, seconds, per_second: records / seconds });
}
