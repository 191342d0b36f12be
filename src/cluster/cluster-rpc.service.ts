import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { z } from 'zod';
import { TIMINGS, type Timings } from '../config/timings.js';
import { NodeEvents } from './node-events.js';
import { ReachableNodes } from './reachable-nodes.js';
import { RealtimeBus } from './realtime-bus.client.js';

/** What a node responds to requests, by method. A handler validates its payload. */
export type RpcHandlers = Readonly<Record<string, (payload: unknown) => unknown>>;

/** Injection token of {@link RpcHandlers}; empty where a node has no connections. */
export const RPC_HANDLERS = Symbol('RPC_HANDLERS');

/** The responses to a request. */
export interface Responses<T> {
  /** One of each node that has responded, this one included. */
  results: T[];
  /** False: a node did not respond in time, or cannot be reached at the moment. */
  isComplete: boolean;
}

const Heartbeat = z.object({
  /** Whether the node responds to requests. */
  hasConnections: z.boolean(),
  /** The node has just started, and knows no other one. */
  isNew: z.boolean(),
});
type Heartbeat = z.output<typeof Heartbeat>;

const Request = z.object({ id: z.string(), method: z.string(), payload: z.unknown() });
type Request = z.output<typeof Request>;

const Response = z.object({ id: z.string(), payload: z.unknown() });
type Response = z.output<typeof Response>;

interface PendingRequest {
  missing: Set<string>;
  results: unknown[];
  /** All have responded. */
  settle(): void;
}

/**
 * Requests to all nodes that have connections, over the bus. Without Redis there is one node.
 *
 * Which nodes are alive is decided by the node registry. The heartbeats here say something else:
 * which nodes the bus reaches. A killed node keeps its lease for 10 s, in which every request would
 * wait for its timeout; without heartbeats for 3.5 s it is not waited for. And a node that is alive
 * but cut off from Redis cannot respond.
 */
@Injectable()
export class ClusterRpc implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly reachable: ReachableNodes;
  private readonly pending = new Map<string, PendingRequest>();
  private readonly methods: ReadonlyMap<string, (payload: unknown) => unknown>;
  private timer: NodeJS.Timeout | undefined;
  /** Until then there may be nodes whose first heartbeat has not arrived. */
  private isCompleteFromMs = Infinity;

  constructor(
    private readonly bus: RealtimeBus,
    private readonly events: NodeEvents,
    @Inject(TIMINGS) private readonly timings: Timings,
    @Inject(RPC_HANDLERS) handlers: RpcHandlers,
  ) {
    this.reachable = new ReachableNodes(timings.busSilenceMs);
    this.methods = new Map(Object.entries(handlers));
    bus.on('heartbeat', (payload, node) => this.onHeartbeat(Heartbeat.parse(payload), node));
    bus.on('leave', (_, node) => this.onLeave(node));
    bus.on('request', (payload, node) => this.respond(Request.parse(payload), node));
    bus.on('response', (payload, node) => this.onResponse(Response.parse(payload), node));
  }

  async onApplicationBootstrap(): Promise<void> {
    const { busHeartbeatMs, rpcTimeoutMs } = this.timings;
    await this.bus.receiveMessages();
    this.sendHeartbeat(true);
    this.isCompleteFromMs = performance.now() + busHeartbeatMs + rpcTimeoutMs;
    this.timer = setInterval(() => this.tick(), busHeartbeatMs).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    this.bus.send({ kind: 'leave', payload: {} });
  }

  /**
   * Asks every node that has connections. Waits for the timeout at most.
   *
   * @param result what a node responds; other responses are ignored
   */
  async request<T>(method: string, payload: unknown, result: z.ZodType<T>): Promise<Responses<T>> {
    const { results, isComplete } = await this.requestAll(method, payload);
    const checked = results.map((each) => result.safeParse(each));
    return {
      results: checked.flatMap(({ success, data }) => (success ? [data] : [])),
      isComplete: isComplete && checked.every(({ success }) => success),
    };
  }

  private async requestAll(method: string, payload: unknown): Promise<Responses<unknown>> {
    const handler = this.methods.get(method);
    const local = handler ? [handler(payload)] : [];
    const isWarmedUp = performance.now() >= this.isCompleteFromMs;
    const missing = new Set(this.reachable.responding());
    if (this.bus.isAlone || (isWarmedUp && missing.size === 0 && this.bus.isConnected)) {
      return { results: local, isComplete: true };
    }
    if (!this.bus.isConnected) return { results: local, isComplete: false };
    const { results, isComplete } = await this.requestOthers({ method, payload }, missing);
    return { results: [...local, ...results], isComplete };
  }

  /** @param missing empty: no node is known yet, and all that respond in time count */
  private async requestOthers(
    request: Omit<Request, 'id'>,
    missing: Set<string>,
  ): Promise<Responses<unknown>> {
    const id = randomUUID();
    const results: unknown[] = [];
    const isComplete = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(missing.size === 0), this.timings.rpcTimeoutMs);
      const settle = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.pending.set(id, { missing, results, settle });
      this.bus.send({ kind: 'request', payload: { id, ...request } satisfies Request });
    });
    this.pending.delete(id);
    return { results, isComplete };
  }

  private respond({ id, method, payload }: Request, node: string): void {
    const handler = this.methods.get(method);
    if (!handler) return;
    const response: Response = { id, payload: handler(payload) };
    this.bus.send({ kind: 'response', payload: response, to: node });
  }

  private onResponse({ id, payload }: Response, node: string): void {
    const pending = this.pending.get(id);
    if (!pending) return;
    pending.results.push(payload);
    if (pending.missing.delete(node) && pending.missing.size === 0) pending.settle();
  }

  private onHeartbeat({ hasConnections, isNew }: Heartbeat, node: string): void {
    const isReachable = this.reachable.heartbeat(node, hasConnections, performance.now());
    if (isNew) this.sendHeartbeat(false);
    if (isReachable) this.events.emit('reachable', node);
  }

  private onLeave(node: string): void {
    if (this.reachable.remove(node)) this.events.emit('unreachable', node);
  }

  private tick(): void {
    this.sendHeartbeat(false);
    for (const node of this.reachable.expire(performance.now())) {
      this.events.emit('unreachable', node);
    }
  }

  private sendHeartbeat(isNew: boolean): void {
    const heartbeat: Heartbeat = { hasConnections: this.methods.size > 0, isNew };
    this.bus.send({ kind: 'heartbeat', payload: heartbeat });
  }
}
