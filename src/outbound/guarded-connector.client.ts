import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import { buildConnector, errors } from 'undici';
import type { OutboundPorts, OutboundProxy } from '../config/outbound-env.js';
import { type AddressDecision, type AddressPolicy, classify } from './address-policy.js';
import { AttemptFailure } from './attempt-result.js';
import {
  asNameError,
  BlockedAddressError,
  BlockedPortError,
  closedError,
  ConnectionError,
  noAddress,
} from './connect-errors.js';
import type { ResolveCallback } from './dns/name-resolver.client.js';
import { EgressProxy, isUnreachable } from './egress-proxy.client.js';
import type { ConnectPhase } from './failure-reason.js';
import type { Connector, ConnectTarget, Opener, Opening } from './http1/connection.client.js';
import { SecureContexts } from './secure-contexts.client.js';
import type { TlsSettings } from './tls-settings.js';
import { isLocalhostName, portOf, portProblem } from './webhook-url.js';

/**
 * Opens the connections of outgoing requests, and refuses those that the address policy forbids.
 *
 * The policy is applied three times, because each place alone has a hole: to a literal address (it
 * is never looked up), to every address that a name resolves to (those that are refused are not used),
 * and to the peer of the open socket before a byte is written to it, which catches a hosts
 * file or a fault of ours that got past the first two.
 */

export interface GuardedConnectorOptions {
  policy: AddressPolicy;
  /** Exact origins that may also connect to loopback; see `OutboundHttpClient.trustOrigin`. */
  trustedOrigins: Pick<ReadonlySet<string>, 'has'>;
  /** Absent: any. */
  ports?: OutboundPorts;
  /** PEM certificates of authorities that are trusted besides the public ones. */
  ca?: string;
  /** Absent: connections are made directly. */
  proxy?: OutboundProxy;
  /** Finds all addresses of a name. Calls back once. */
  resolve: Resolve;
}

export type Resolve = (hostname: string, opener: Opener, callback: ResolveCallback) => void;

/** Connecting and the TLS handshake together; an attempt's deadline may cut it shorter. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Node's default of 250 ms per address gives up healthy servers that are only far away. */
const ADDRESS_TIMEOUT_MS = 1_000;

type AddressCheck = (ip: string) => AddressDecision;

/** One connection to be opened. */
interface Plan {
  target: ConnectTarget;
  check: AddressCheck;
  connect: buildConnector.connector;
}

export class GuardedConnector implements Connector {
  private readonly sockets = new Set<Socket>();
  private isClosed = false;
  /** Of the names that are being connected to: `connect()` looks them up before it returns. */
  private readonly resolved = new Map<string, LookupAddress[]>();
  private readonly contexts: SecureContexts;
  private readonly common: buildConnector.connector;
  /**
   * One for each set of certificates: a TLS session that is resumed proves the identity of the first
   * connection again, so that it must not be shared.
   */
  private readonly own = new WeakMap<TlsSettings, buildConnector.connector>();
  private readonly proxy: EgressProxy | undefined;

  constructor(private readonly options: GuardedConnectorOptions) {
    this.contexts = new SecureContexts(options.ca);
    this.common = this.connectorFor(undefined);
    const { proxy } = options;
    this.proxy =
      proxy &&
      new EgressProxy({
        proxy,
        secureContext: this.contexts.common,
        timeoutMs: CONNECT_TIMEOUT_MS,
      });
  }

  /**
   * Opens a connection and calls back once.
   *
   * @returns to be destroyed by a caller that stops waiting; undefined when refused
   */
  open(
    target: ConnectTarget,
    opener: Opener,
    callback: buildConnector.Callback,
  ): Opening | undefined {
    const isTrusted = this.options.trustedOrigins.has(`${target.protocol}//${target.host}`);
    const check = isTrusted ? this.checkTrusted : this.checkPublic;
    const { hostname } = target;
    const refused = this.refusedAtOnce(target, check, isTrusted);
    if (refused !== undefined) {
      process.nextTick(callback, refused, null);
      return undefined;
    }
    // A trusted origin is this process itself, which no proxy has to reach.
    const proxy = isTrusted ? undefined : this.proxy;
    const plan = { target, check, connect: this.connectorOf(target.tls) };
    if (isIP(hostname)) {
      const addresses = [{ address: hostname, family: isIP(hostname) }];
      return proxy ? this.tunneled(proxy, plan, addresses, callback) : this.guarded(plan, callback);
    }
    const opening = new OpeningByName(callback);
    this.resolve(hostname, opener, (error, addresses) => {
      if (opening.isDestroyed) return;
      if (this.isClosed) return callback(closedError(hostname), null);
      if (error) return callback(asNameError(error, hostname), null);
      const allowed = addresses.filter(({ address }) => check(address).allowed);
      if (allowed.length === 0) return callback(noneAllowed(hostname, addresses, check), null);
      if (proxy) {
        opening.current = this.tunneled(proxy, plan, allowed, callback);
        return;
      }
      this.resolved.set(hostname, allowed);
      opening.current = this.guarded(plan, callback);
      this.resolved.delete(hostname);
    });
    return opening;
  }

  /** Destroys every connection, also those being opened, and opens no more. */
  close(): void {
    this.isClosed = true;
    for (const socket of this.sockets) socket.destroy();
  }

  private readonly checkPublic: AddressCheck = (ip) => this.options.policy.check(ip);

  private readonly checkTrusted: AddressCheck = (ip) =>
    classify(ip) === 'loopback' ? { allowed: true } : this.options.policy.check(ip);

  private refusedAtOnce(
    target: ConnectTarget,
    check: AddressCheck,
    isTrusted: boolean,
  ): Error | undefined {
    const { hostname } = target;
    if (this.isClosed) return closedError(hostname);
    const port = isTrusted ? undefined : portProblem(target, this.options.ports ?? 'any');
    if (port !== undefined) return new BlockedPortError(port);
    return isIP(hostname) === 0 ? undefined : refusal(hostname, check, hostname);
  }

  private guarded({ target, check, connect }: Plan, callback: buildConnector.Callback): Socket {
    let isConnected = false;
    const socket = this.connected({ target, connect }, () => isConnected, callback);
    // Prepended: the TLS handshake and the caller's first write start in later listeners.
    socket.prependOnceListener('connect', () => {
      isConnected = true;
      const refused = refusal(socket.remoteAddress ?? '', check, target.hostname);
      if (refused !== undefined) socket.destroy(refused);
    });
    return socket;
  }

  /**
   * @param addresses that are allowed; a name's answers are rotated within their family, so that each
   * has its turn. The proxy may reach one family only, whatever this machine has: then the other one
   * is tried.
   */
  private tunneled(
    proxy: EgressProxy,
    plan: Plan,
    addresses: LookupAddress[],
    callback: buildConnector.Callback,
    opening = new OpeningByProxy(proxy),
  ): Opening {
    const { target, connect } = plan;
    const { address, family } = addresses[0]!;
    const end = { address, port: portOf(target) };
    const socket = proxy.open(end, (error, tunnel) => {
      const others = addresses.filter((other) => other.family !== family);
      if (isUnreachable(error) && others.length > 0) {
        return void this.tunneled(proxy, plan, others, callback, opening);
      }
      if (error) return callback(error, null);
      opening.isTunneled = true;
      if (target.protocol === 'http:') return callback(null, tunnel);
      const httpSocket = tunnel as buildConnector.Options['httpSocket'];
      opening.current = this.connected(
        { target, connect: (options, done) => connect({ ...options, httpSocket }, done) },
        () => true,
        callback,
      );
    });
    opening.current = socket;
    this.track(socket);
    return opening;
  }

  private connected(
    { target, connect }: Pick<Plan, 'target' | 'connect'>,
    isConnected: () => boolean,
    callback: buildConnector.Callback,
  ): Socket {
    let certificate: PeerCertificate | undefined;
    const { hostname } = target;
    // undici returns the socket that it opens; its type does not say so.
    const socket = connect(target, (error, opened) => {
      if (error === null) return callback(null, opened);
      if (error instanceof AttemptFailure) return callback(error, null);
      const phase = phaseOf(error, isConnected());
      const nowMs = Date.now();
      callback(new ConnectionError({ phase, cause: error, hostname, certificate, nowMs }), null);
    }) as unknown as Socket;
    this.track(socket);
    // Prepended: after a certificate that is not accepted, it cannot be read any more.
    if (socket instanceof TLSSocket) {
      socket.prependOnceListener('secure', () => {
        certificate = socket.getPeerCertificate();
      });
    }
    return socket;
  }

  private track(socket: Socket): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  }

  private connectorOf(tls: TlsSettings | undefined): buildConnector.connector {
    if (tls === undefined) return this.common;
    const existing = this.own.get(tls);
    if (existing) return existing;
    const created = this.connectorFor(tls);
    this.own.set(tls, created);
    return created;
  }

  private connectorFor(tls: TlsSettings | undefined): buildConnector.connector {
    return buildConnector({
      timeout: CONNECT_TIMEOUT_MS,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
      lookup: this.lookupResolved,
      allowH2: false,
      secureContext: this.contexts.of(tls),
      // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED=0 cannot switch it off.
      rejectUnauthorized: true,
    });
  }

  /** Gives the addresses that {@link open} has judged. */
  private readonly lookupResolved: LookupFunction = (hostname, options, callback) => {
    const addresses = this.resolved.get(hostname) ?? [];
    const [first] = addresses;
    if (!first) callback(noAddress(hostname), []);
    else if (options.all) callback(null, addresses);
    else callback(null, first.address, first.family);
  };

  private resolve(hostname: string, opener: Opener, callback: ResolveCallback): void {
    if (isLocalhostName(hostname)) {
      // Never sent to DNS (RFC 6761), and IPv4 only, so that allowing 127.0.0.0/8 is enough.
      process.nextTick(callback, null, [{ address: '127.0.0.1', family: 4 }]);
    } else {
      this.options.resolve(hostname, opener, callback);
    }
  }
}

/** First its name is resolved, then there is a socket or a tunnel. */
class OpeningByName implements Opening {
  current: Opening | undefined;
  isDestroyed = false;

  constructor(private readonly callback: buildConnector.Callback) {}

  get isUnderOutage(): boolean {
    return this.current?.isUnderOutage === true;
  }

  destroy(error: Error): void {
    if (this.current) this.current.destroy(error);
    else if (!this.isDestroyed) process.nextTick(this.callback, error, null);
    this.isDestroyed = true;
  }
}

/** First the proxy opens a tunnel, then there is TLS in it. */
class OpeningByProxy implements Opening {
  current: Socket | undefined;
  isTunneled = false;

  constructor(private readonly proxy: EgressProxy) {}

  get isUnderOutage(): boolean {
    return !this.isTunneled && this.current !== undefined && this.proxy.isUnderOutage(this.current);
  }

  destroy(error: Error): void {
    this.current?.destroy(error);
  }
}

function refusal(
  address: string,
  check: AddressCheck,
  hostname: string,
): BlockedAddressError | undefined {
  const decision = check(address);
  return decision.allowed ? undefined : new BlockedAddressError(address, decision.reason, hostname);
}

/** For a name of which no address may be used. */
function noneAllowed(hostname: string, addresses: LookupAddress[], check: AddressCheck): Error {
  const [first] = addresses;
  const refused = first && refusal(first.address, check, hostname);
  return refused ?? asNameError(noAddress(hostname), hostname);
}

function phaseOf(error: NodeJS.ErrnoException, isConnected: boolean): ConnectPhase {
  if (error instanceof errors.ConnectTimeoutError) return 'timeout';
  if (isConnected) return 'tls';
  return error.syscall === 'getaddrinfo' ? 'dns' : 'connect';
}
