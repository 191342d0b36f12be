import { Inject, Injectable } from '@nestjs/common';
import type { OutboundConfig } from '../config/env.js';
import { type AddressPolicy, classify, compileAddressPolicy } from './address-policy.js';
import type { AttemptResult } from './attempt-result.js';
import { DeadlineWheel } from './deadline-wheel.js';
import { GuardedConnector } from './guarded-connector.client.js';
import { OriginPools } from './origin-pools.client.js';
import {
  type OutboundRequest,
  PendingRequest,
  type RequestOwner,
} from './pending-request.client.js';
import { requestHead } from './request-head.js';
import { isLocalhostName, parseWebhookUrl, type WebhookUrl } from './webhook-url.js';

/** Injection token of the client's slice of the configuration ({@link OutboundConfig}). */
export const OUTBOUND_OPTIONS = Symbol('OUTBOUND_OPTIONS');

/** A deadline is kept to this many milliseconds, late but never early. */
const TICK_MS = 50;

/** One turn is 102 s, longer than any timeout that can be configured. */
const WHEEL_SLOTS = 2048;

/** So much later than they should, idle connections are closed. They are not used in between. */
const SWEEP_EVERY_MS = 1_000;

const NOT_SENT: AttemptResult = { kind: 'failed', error: 'connect', durationMs: 0 };

/**
 * Sends webhooks to addresses that customers chose, and trusts neither the address nor the answer.
 *
 * Every connection passes the {@link GuardedConnector}. An attempt has one absolute deadline over
 * everything from DNS to the last byte of the body, because timeouts per phase can be dripped past.
 * Redirects are never followed, nothing is inflated, and little of a body is read.
 */
@Injectable()
export class OutboundHttpClient implements RequestOwner {
  private readonly policy: AddressPolicy;
  private readonly trustedOrigins = new Set<string>();
  private readonly connector: GuardedConnector;
  private readonly pools: OriginPools;
  private readonly deadlines: DeadlineWheel<PendingRequest>;
  private timer: NodeJS.Timeout | undefined;
  private readonly sweeper: NodeJS.Timeout;
  private isClosed = false;
  private onIdle: (() => void) | undefined;

  constructor(@Inject(OUTBOUND_OPTIONS) private readonly options: OutboundConfig) {
    this.policy = compileAddressPolicy(options.allowCidrs);
    const { policy, trustedOrigins } = this;
    this.connector = new GuardedConnector({ policy, trustedOrigins });
    this.pools = new OriginPools(this.connector);
    this.deadlines = new DeadlineWheel(TICK_MS, WHEEL_SLOTS, performance.now());
    this.sweeper = setInterval(() => this.pools.sweep(performance.now()), SWEEP_EVERY_MS).unref();
  }

  /**
   * Makes one attempt. Resolves for every answer and every remote failure; after {@link close} it
   * resolves as `connect`, without having sent anything.
   *
   * @throws TypeError when the origin is none, which a parsed URL rules out
   */
  post(request: OutboundRequest): Promise<AttemptResult> {
    if (this.isClosed) return Promise.resolve(NOT_SENT);
    const nowMs = performance.now();
    const pool = this.pools.get(request.url.origin, nowMs);
    const body = typeof request.body === 'string' ? Buffer.from(request.body) : request.body;
    const head = requestHead(request, pool.host, body.length);
    if (head === undefined) return Promise.resolve({ ...NOT_SENT, error: 'http' });
    return new Promise((resolve) => {
      pool.inFlight++;
      const { timeoutMs } = request;
      const pending = new PendingRequest(head, body, timeoutMs, pool, nowMs, this, resolve);
      this.deadlines.add(pending);
      this.timer ??= setInterval(this.tick, TICK_MS);
      pool.send(pending, nowMs);
    });
  }

  /** Checks the URL of a webhook by the rules that this client is configured with. */
  parseUrl(raw: string): WebhookUrl {
    const { policy, trustedOrigins } = this;
    return parseWebhookUrl(raw, { allowHttp: this.options.allowHttp, policy, trustedOrigins });
  }

  /**
   * Lets requests to exactly this origin connect to loopback although the policy refuses it.
   *
   * Meant for the product's own request bin in development, so that a first webhook can be tried
   * without opening all of loopback, where databases listen, to whoever may register one.
   *
   * @param origin scheme, host and port, e.g. `http://localhost:3000`; the host must be loopback
   * @throws TypeError for anything else
   */
  trustOrigin(origin: string): void {
    const url = new URL(origin);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const isLocal = isLocalhostName(host) || classify(host) === 'loopback';
    if (url.origin !== origin || !isLocal) throw new TypeError(`${origin} is not a local origin`);
    this.trustedOrigins.add(origin);
  }

  /**
   * Takes no more requests, lets those in flight finish for a while, and then cuts the rest, which
   * resolve as they do at their deadline.
   */
  async close(gracefulMs: number): Promise<void> {
    this.isClosed = true;
    await this.idle(gracefulMs);
    for (const pending of this.deadlines.takeAll()) pending.expire();
    clearInterval(this.timer);
    clearInterval(this.sweeper);
    this.pools.destroy();
    this.connector.close();
  }

  /** Called by a request that has its result. */
  release(request: PendingRequest): void {
    this.deadlines.remove(request);
    request.originPool.inFlight--;
    if (this.deadlines.size === 0) this.onIdle?.();
  }

  /**
   * Runs while something is pending and keeps the process alive for it; stops one tick later, not
   * with the last request, so that a trickle of requests does not set up a timer each.
   */
  private readonly tick = (): void => {
    // Sockets are read before immediates run: after the process was held up, an answer that has
    // arrived meanwhile counts, although its deadline has passed as well.
    setImmediate(this.expireDue);
  };

  private readonly expireDue = (): void => {
    const nowMs = performance.now();
    for (const pending of this.deadlines.takeDue(nowMs)) pending.expire();
    if (this.deadlines.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  };

  private idle(gracefulMs: number): Promise<void> {
    if (this.deadlines.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const limit = setTimeout(resolve, gracefulMs);
      this.onIdle = () => {
        clearTimeout(limit);
        resolve();
      };
    });
  }
}
