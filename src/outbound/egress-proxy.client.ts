import { type IncomingMessage, request } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import { Logger } from '@nestjs/common';
import type { OutboundProxy } from '../config/outbound-env.js';
import { AttemptFailure, type FailureReason, type Unsent, unsent } from './attempt-result.js';

/** The proxy did not open a tunnel. */
export class TunnelError extends AttemptFailure {
  readonly code = 'ERR_OUTBOUND_TUNNEL';

  constructor(
    message: string,
    /** Unsent: the proxy failed, and not the receiver. */
    readonly failure: FailureReason | Unsent,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'TunnelError';
  }
}

/** Whether the proxy has tried, and could not connect to this address. */
export const isUnreachable = (error: Error | null): boolean =>
  error instanceof TunnelError && 'error' in error.failure && error.failure.error === 'connect';

/** Where a tunnel is to end: an address that has been judged, never a name. */
export interface TunnelEnd {
  address: string;
  port: number;
}

export type TunnelCallback = (...result: [Error, null] | [null, Socket]) => void;

export interface EgressProxyOptions {
  proxy: OutboundProxy;
  /** For the connection to a proxy with `https:`. */
  secureContext: SecureContext;
  /** For the connection to the proxy and its answer. */
  timeoutMs: number;
}

/** The statuses by which proxies say that they have tried, and could not connect. */
const UNREACHABLE = new Set([500, 502, 503, 504]);

/**
 * The statuses that are about this installation, whatever the receiver: a credential that is missing or
 * wrong (401 of some proxies, 407), and too many requests of ours (429).
 */
const OURS = new Set([401, 407, 429]);

/**
 * Opens tunnels through a forward proxy (CONNECT, RFC 9110, 9.3.6).
 *
 * The proxy is asked for an address and not for a name: what the address policy has judged is what is
 * connected to. A proxy that does not answer is an outage of the installation and says nothing about
 * the receiver; it looks the same as a receiver that does not answer the proxy, unless the proxy has
 * answered another request in the meantime.
 */
export class EgressProxy {
  private readonly logger = new Logger(EgressProxy.name);
  /** Since when the tunnels wait that are not open yet; on the clock of `performance.now()`. */
  private readonly waitingSince = new WeakMap<Socket, number>();
  private answeredAtMs = -Infinity;
  private isDown = false;

  constructor(private readonly options: EgressProxyOptions) {}

  /**
   * Opens a tunnel and calls back once.
   * @returns the connection to the proxy, to be destroyed by a caller that stops waiting
   */
  open(end: TunnelEnd, callback: TunnelCallback): Socket {
    const startedMs = performance.now();
    const socket = this.connect();
    this.waitingSince.set(socket, startedMs);
    const { timeoutMs, proxy } = this.options;
    const limit = setTimeout(() => socket.destroy(this.timeoutError(socket)), timeoutMs);
    let isSettled = false;
    const settle: TunnelCallback = (...result) => {
      clearTimeout(limit);
      this.waitingSince.delete(socket);
      if (!isSettled) callback(...result);
      isSettled = true;
    };
    // Of the request until the tunnel is open; then of what is sent through it.
    socket.on('error', () => undefined);
    const path =
      isIP(end.address) === 6 ? `[${end.address}]:${end.port}` : `${end.address}:${end.port}`;
    const { authorization } = proxy;
    const asking = request({
      method: 'CONNECT',
      path,
      headers: { host: path, ...(authorization && { 'proxy-authorization': authorization }) },
      createConnection: () => socket,
    });
    asking.once('connect', (response, opened, head: Buffer) => {
      const refused = this.onAnswer(response);
      if (refused) {
        opened.destroy();
        return settle(refused, null);
      }
      // A receiver that speaks first.
      if (head.length > 0) opened.unshift(head);
      settle(null, socket);
    });
    asking.on('error', (error) => settle(this.asFailure(error), null));
    // CONNECT has no response but `connect`; anything else ends with an error.
    asking.once('response', () => socket.destroy(new Error('The proxy did not answer CONNECT')));
    asking.end();
    return socket;
  }

  /** Whether a tunnel waits for the proxy, without a sign that the proxy is well. */
  isUnderOutage(socket: Socket): boolean {
    const sinceMs = this.waitingSince.get(socket);
    return sinceMs !== undefined && this.answeredAtMs < sinceMs;
  }

  private connect(): Socket {
    const { proxy, secureContext } = this.options;
    const { hostname: host, port } = proxy;
    if (proxy.protocol === 'http:')
      return connectTcp({ host, port, autoSelectFamily: true, noDelay: true });
    const servername = isIP(host) === 0 ? host : '';
    return connectTls({ host, port, servername, secureContext, rejectUnauthorized: true });
  }

  private timeoutError(socket: Socket): Error {
    if (this.isUnderOutage(socket)) {
      return Object.assign(new Error('It does not answer'), { code: 'ETIMEDOUT' });
    }
    const message = 'Connection timed out: it was not open in time.';
    return new TunnelError(message, { error: 'timeout', message });
  }

  private asFailure(error: NodeJS.ErrnoException): Error {
    if (error instanceof AttemptFailure) return error;
    // Without a code: destroyed by a caller that stopped waiting.
    if (error.code !== undefined) this.onOutage(error.message);
    return new TunnelError('No tunnel', unsent('proxy_unavailable'), { cause: error });
  }

  private onAnswer(response: IncomingMessage): TunnelError | undefined {
    this.answeredAtMs = performance.now();
    const refused = refusal(response);
    if (refused && 'kind' in refused.failure) this.onOutage(refused.message);
    else this.onRecovery();
    return refused;
  }

  /** Logged when it begins: each delivery that waits for the proxy would repeat it. */
  private onOutage(error: string): void {
    if (this.isDown) return;
    this.isDown = true;
    this.logger.error({ message: 'the egress proxy fails', proxy: this.name, error });
  }

  private onRecovery(): void {
    if (!this.isDown) return;
    this.isDown = false;
    this.logger.log({ message: 'the egress proxy works again', proxy: this.name });
  }

  /** Without credentials. */
  private get name(): string {
    return `${this.options.proxy.hostname}:${this.options.proxy.port}`;
  }
}

/** What a status other than 2xx means. */
function refusal({ statusCode = 0 }: IncomingMessage): TunnelError | undefined {
  if (statusCode >= 200 && statusCode < 300) return undefined;
  const detail = `The egress proxy answered CONNECT with status ${statusCode}`;
  // The proxy wants something from us, and knows nothing about the receiver.
  if (OURS.has(statusCode)) return new TunnelError(detail, unsent('proxy_unavailable'));
  if (statusCode === 403) {
    const message = 'The egress proxy of this installation does not allow this receiver.';
    return new TunnelError(detail, { error: 'blocked', message, detail });
  }
  // Whatever else it answers may depend on the receiver: its deliveries must not wait without an end.
  const message = UNREACHABLE.has(statusCode)
    ? 'No connection: the egress proxy could not reach the receiver.'
    : `No connection: the egress proxy answered with status ${statusCode}.`;
  return new TunnelError(detail, { error: 'connect', message, detail });
}
