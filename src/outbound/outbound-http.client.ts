import { Inject, Injectable } from '@nestjs/common';
import type { OutboundConfig, OutboundPorts } from '../config/outbound-env.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { type AddressPolicy, classify, compileAddressPolicy } from './address-policy.js';
import { type AttemptResult, type Unsent, unsent } from './attempt-result.js';
import { NameResolver } from './dns/name-resolver.client.js';
import { FAILURE_WORDS } from './failure-reason.js';
import { GuardedConnector } from './guarded-connector.client.js';
import { requestHead } from './http1/connection.client.js';
import { OriginPools } from './http1/origin-pools.client.js';
import { contextProblem } from './secure-contexts.client.js';
import type { TlsMaterial } from './tls-settings.js';
import { PendingRequest, type RequestOwner } from './http1/pending-request.client.js';
import {
  isLocalhostName,
  type OutboundTarget,
  parseWebhookUrl,
  type WebhookUrl,
} from './webhook-url.js';

/** One POST. */
export interface OutboundRequest {
  /** Of the webhook: one owner's names do not delay those of another. */
  ownerKey: string;
  url: OutboundTarget;
  /** A flat list: name, value, name, value, … Framing headers are added. */
  headers: readonly string[];
  body: Buffer | string;
  /** For the whole attempt, from the call to the end of the response. */
  timeoutMs: number;
}

/** Injection token of the client's slice of the configuration ({@link OutboundConfig}). */
export const OUTBOUND_OPTIONS = Symbol('OUTBOUND_OPTIONS');

/** Expired idle connections are closed this late at most. They are not used in between. */
const SWEEP_EVERY_MS = 1_000;

const DEFAULT_PORTS: OutboundPorts = 'unprivileged';

const UNWRITABLE: AttemptResult = {
  kind: 'failed',
  error: 'http',
  message: FAILURE_WORDS.http,
  durationMs: 0,
};

/**
 * Sends webhooks to addresses that customers chose, and trusts neither the address nor the response.
 *
 * Every connection passes the {@link GuardedConnector}. An attempt has one absolute deadline for
 * everything from DNS to the last byte of the body, because a server that sends byte by byte never
 * exceeds a timeout per phase. Redirects are never followed, nothing is inflated, and little of a
 * body is read.
 */
@Injectable()
export class OutboundHttpClient implements RequestOwner {
  private readonly policy: AddressPolicy;
  private readonly trustedOrigins = new Map<string, RegExp>();
  private readonly names: NameResolver;
  private readonly connector: GuardedConnector;
  private readonly pools: OriginPools;
  private readonly pending = new Set<PendingRequest>();
  private readonly sweepTimer: NodeJS.Timeout;
  private isClosed = false;
  private onIdle: (() => void) | undefined;

  constructor(
    @Inject(OUTBOUND_OPTIONS) private readonly options: OutboundConfig,
    @Inject(TIMINGS) timings: Pick<Timings, 'dnsTimeoutMs' | 'dnsResendMs' | 'dnsQueueMs'>,
  ) {
    this.policy = compileAddressPolicy(options.allowCidrs, options.nat64Prefixes);
    const { policy, trustedOrigins } = this;
    const { ports = DEFAULT_PORTS, dnsServers, ca, proxy } = options;
    const names = new NameResolver({
      servers: dnsServers,
      timeoutMs: timings.dnsTimeoutMs,
      resendMs: timings.dnsResendMs,
      queueMs: timings.dnsQueueMs,
    });
    this.names = names;
    this.connector = new GuardedConnector({
      policy,
      trustedOrigins,
      ports,
      ca,
      proxy,
      resolve: (hostname, opener, callback) => names.resolve(hostname, opener, callback),
    });
    this.pools = new OriginPools(this.connector);
    const sweep = () => this.pools.sweep(performance.now());
    this.sweepTimer = setInterval(sweep, SWEEP_EVERY_MS).unref();
  }

  /**
   * Makes one attempt. Resolves for every response and every remote failure; as `unsent` after
   * {@link close}, when the names of the owner that are being looked up are too many, and when the
   * egress proxy is what fails.
   *
   * @throws TypeError when the URL's origin is not one, which a parsed URL rules out
   */
  post({
    ownerKey,
    url,
    headers,
    body,
    timeoutMs,
  }: OutboundRequest): Promise<AttemptResult | Unsent> {
    if (this.isClosed) return Promise.resolve(unsent('stopping'));
    const startedMs = performance.now();
    const pool = this.pools.get(url.origin, startedMs, url.tls);
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const { host } = pool;
    const head = requestHead({ path: url.path, headers, host, bodyBytes: bytes.length });
    if (head === undefined) return Promise.resolve(UNWRITABLE);
    return new Promise((resolve) => {
      const context = { timeoutMs, startedMs, pool, owner: this, ownerKey, resolve };
      const request = new PendingRequest(head, bytes, context);
      this.pending.add(request);
      pool.send(request, startedMs);
    });
  }

  /** Checks the URL of a webhook by the rules that this client is configured with. */
  parseUrl(raw: string): WebhookUrl {
    const { policy, trustedOrigins } = this;
    const { allowHttp, ports = DEFAULT_PORTS } = this.options;
    return parseWebhookUrl(raw, { allowHttp, policy, ports, trustedOrigins });
  }

  /** What TLS itself does not accept of certificates that are usable otherwise. */
  tlsProblem(material: TlsMaterial): { field: keyof TlsMaterial; message: string } | undefined {
    return contextProblem(material);
  }

  /**
   * Lets webhooks of exactly this origin and such a path reach loopback although the policy refuses it.
   *
   * Meant for the product's own request bin in development: a first webhook can be tried without
   * opening all of loopback, where databases listen, to every user who may register one.
   *
   * @param origin scheme, host and port, e.g. `http://localhost:3000`; the host must be loopback
   * @param path of the URLs that may be registered, from `^` to `$`; other paths of the origin may not
   * @throws TypeError for anything else
   */
  trustOrigin(origin: string, path: RegExp): void {
    const url = new URL(origin);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const isLocal = isLocalhostName(host) || classify(host) === 'loopback';
    if (url.origin !== origin || !isLocal) throw new TypeError(`${origin} is not a local origin`);
    this.trustedOrigins.set(origin, path);
  }

  /**
   * Accepts no more requests, waits for those in flight, and after `gracefulMs` ends the rest, which
   * resolve as they do at their deadline.
   */
  async close(gracefulMs: number): Promise<void> {
    this.isClosed = true;
    await this.idle(gracefulMs);
    for (const request of this.pending) request.expire();
    clearInterval(this.sweepTimer);
    this.pools.destroy();
    this.names.close();
    this.connector.close();
  }

  /** Called by each request when it has its result. */
  onSettled(request: PendingRequest): void {
    this.pending.delete(request);
    if (this.pending.size === 0) this.onIdle?.();
  }

  private idle(gracefulMs: number): Promise<void> {
    if (this.pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const limit = setTimeout(resolve, gracefulMs);
      this.onIdle = () => {
        clearTimeout(limit);
        resolve();
      };
    });
  }
}
