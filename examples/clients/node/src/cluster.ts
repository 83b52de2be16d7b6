/** Nodes, connections to them, and who leads what. */
import {
  credentials,
  Metadata,
  type CallOptions,
  type ClientUnaryCall,
  type ServiceError,
} from "@grpc/grpc-js";

import { CALL_TIMEOUT_MS, detailsOf, patiently, Refusal } from "./errors.js";
import { AdminServiceClient } from "./generated/streamlog/v1/admin_service.js";
import { Error as Told } from "./generated/streamlog/v1/error.js";
import { GroupServiceClient } from "./generated/streamlog/v1/group_service.js";
import {
  LogServiceClient,
  type OffsetSpec,
  type TopicMetadata,
} from "./generated/streamlog/v1/log_service.js";
import { RecordServiceClient } from "./generated/streamlog/v1/record_service.js";

const CHANNEL_OPTIONS = {
  "grpc.enable_retries": 0,
  "grpc.max_receive_message_length": 65 << 20,
  "grpc.max_send_message_length": 65 << 20,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

/** Stubs of one address; grpc-js gives them one connection. */
export interface Node {
  readonly log: LogServiceClient;
  readonly groups: GroupServiceClient;
  readonly records: RecordServiceClient;
  readonly admin: AdminServiceClient;
}

/** Who leads a partition, as far as anybody told. */
export interface Leader {
  readonly log: LogServiceClient;
  readonly topicId: bigint;
}

interface Place {
  readonly address: string;
  readonly term: bigint;
}

type UnaryCall<Request, Answer> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, answer: Answer) => void,
) => ClientUnaryCall;

/** A unary call as a promise, with a deadline. Pass the method bound to its client. */
export function ask<Request, Answer>(
  call: UnaryCall<Request, Answer>,
  request: Request,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + CALL_TIMEOUT_MS;
    call(request, new Metadata(), { deadline }, (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

export class Cluster {
  readonly #bootstrap: readonly string[];
  readonly #nodes = new Map<string, Node>();
  /** Leaders that nodes named when they refused, by topic and partition. */
  readonly #hints = new Map<string, Place>();
  #next = 0;
  #id = "";

  constructor(bootstrap: readonly string[]) {
    this.#bootstrap = bootstrap;
  }

  /** Shakes hands: another cluster may have come back at an address. */
  async node(address: string): Promise<Node> {
    const node = this.#stubs(address);
    const { clusterId } = await ask(node.log.handshake.bind(node.log), {
      minProtocolVersion: 1,
      maxProtocolVersion: 1,
      clientSoftware: "streamlog-example-node/1",
      clientId: "",
      features: ["idempotence"],
    });
    this.#id ||= clusterId;
    if (this.#id !== clusterId) {
      throw new Error(`${address} belongs to cluster ${clusterId}, not to ${this.#id}`);
    }
    return node;
  }

  #stubs(address: string): Node {
    let node = this.#nodes.get(address);
    if (node === undefined) {
      const insecure = credentials.createInsecure();
      node = {
        log: new LogServiceClient(address, insecure, CHANNEL_OPTIONS),
        groups: new GroupServiceClient(address, insecure, CHANNEL_OPTIONS),
        records: new RecordServiceClient(address, insecure, CHANNEL_OPTIONS),
        admin: new AdminServiceClient(address, insecure, CHANNEL_OPTIONS),
      };
      this.#nodes.set(address, node);
    }
    return node;
  }

  /** Asks one node after the other until one answers. */
  async any<T>(call: (node: Node) => Promise<T>): Promise<T> {
    return patiently(async () => {
      const address = this.#bootstrap[this.#next++ % this.#bootstrap.length]!;
      return call(await this.node(address));
    });
  }

  /** A topic's metadata, and the addresses of nodes by their id. */
  async topic(name: string): Promise<{ topic: TopicMetadata; addresses: Map<number, string> }> {
    return this.any(async ({ log }) => {
      const request = { topics: [name], allTopics: false };
      const { topics, nodes } = await ask(log.getMetadata.bind(log), request);
      const topic = topics[0]!;
      if (topic.error) throw new Refusal(topic.error);
      return { topic, addresses: new Map(nodes.map((node) => [node.nodeId, node.address])) };
    });
  }

  /** The newest leader that metadata or a refusal told. */
  async leader(name: string, partition: number): Promise<Leader> {
    const { topic, addresses } = await this.topic(name);
    const metadata = topic.partitions[partition];
    if (metadata === undefined) {
      throw new Refusal(Told.fromPartial({ reason: "UNKNOWN_PARTITION", retriable: true }));
    }
    let address = addresses.get(metadata.leaderNodeId);
    const hint = this.#hints.get(`${name}/${partition}`);
    if (hint && hint.term > metadata.leaderTerm) address = hint.address;
    if (address === undefined) {
      throw new Refusal(Told.fromPartial({ reason: "LEADER_NOT_AVAILABLE", retriable: true }));
    }
    const { log } = await this.node(address);
    return { log, topicId: topic.topicId };
  }

  /** Remembers whom a node names in its stead. */
  learn(name: string, partition: number, error: unknown): void {
    const { reason, metadata } = detailsOf(error);
    const address = metadata["leader_address"];
    if (reason !== "NOT_LEADER" || !address) return;
    const term = BigInt(metadata["leader_term"] ?? 0);
    const known = this.#hints.get(`${name}/${partition}`);
    if (!known || term >= known.term) this.#hints.set(`${name}/${partition}`, { address, term });
  }

  /** A named position of a partition, or that of a time. */
  async offset(
    name: string,
    partition: number,
    spec: OffsetSpec,
    timestampMs = 0n,
  ): Promise<bigint> {
    return patiently(async () => {
      try {
        const { log, topicId } = await this.leader(name, partition);
        const query = { topicId, partition, spec, timestampMs, offset: 0n };
        const { answers } = await ask(log.listOffsets.bind(log), { queries: [query] });
        const answer = answers[0]!;
        if (answer.error) throw new Refusal(answer.error);
        return answer.offset;
      } catch (error) {
        this.learn(name, partition, error);
        throw error;
      }
    });
  }

  /** Does nothing if it is there. */
  async createTopic(name: string, partitionCount: number): Promise<void> {
    const request = { name, partitionCount, replicationFactor: 3, config: {}, validateOnly: false };
    await this.any(async ({ admin }) => {
      try {
        await ask(admin.createTopic.bind(admin), request);
      } catch (error) {
        if (detailsOf(error).reason !== "TOPIC_EXISTS") throw error;
      }
    });
  }

  close(): void {
    for (const node of this.#nodes.values()) {
      for (const stub of [node.log, node.groups, node.records, node.admin]) stub.close();
    }
  }
}
