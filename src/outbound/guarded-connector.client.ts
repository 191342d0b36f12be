import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { buildConnector, errors } from 'undici';
import {
  type AddressClass,
  type AddressDecision,
  type AddressPolicy,
  classify,
} from './address-policy.js';
import { AttemptFailure } from './attempt-result.js';
import type { ResolveCallback } from './dns/name-resolver.client.js';
import type { Connector, ConnectTarget, Opener, Opening } from './http1/connection.client.js';
import { isLocalhostName } from './webhook-url.js';

/**
 * Opens the connections of outgoing requests, and refuses those that the address policy forbids.
 *
 * The policy is applied three times, because each place alone has a hole: to a literal address (it
 * is never looked up), to every address that a name resolves to (the connection may be made to any of
 * them), and to the peer of the open socket before a byte is written to it, which catches a hosts
 * file or a fault of ours that got past the first two.
 */

/** The address policy refused the target. The address is for operators, never for customers. */
export class BlockedAddressError extends AttemptFailure {
  readonly code = 'ERR_BLOCKED_ADDRESS';
  readonly attemptError = 'blocked';

  constructor(
    readonly address: string,
    readonly reason: AddressClass,
  ) {
    super(`The address ${address} is not allowed (${reason})`);
    this.name = 'BlockedAddressError';
  }
}

/** The step at which opening a connection failed. */
export type ConnectPhase = 'dns' | 'connect' | 'tls' | 'timeout';

/** No connection could be opened; the system's own error is the cause. */
export class ConnectionError extends AttemptFailure {
  readonly code = 'ERR_OUTBOUND_CONNECTION';

  constructor(
    readonly phase: ConnectPhase,
    cause: Error,
  ) {
    super(`No connection: failed at ${phase}`, { cause });
    this.name = 'ConnectionError';
  }

  get attemptError(): ConnectPhase {
    return this.phase;
  }
}

export interface GuardedConnectorOptions {
  policy: AddressPolicy;
  /** Exact origins that may also connect to loopback; see `OutboundHttpClient.trustOrigin`. */
  trustedOrigins: Pick<ReadonlySet<string>, 'has'>;
  /** Finds all addresses of a name. Calls back once. */
  resolve: Resolve;
}

export type Resolve = (hostname: string, opener: Opener, callback: ResolveCallback) => void;

/** Connecting and the TLS handshake together; an attempt's deadline may cut it shorter. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Node's default of 250 ms per address gives up healthy servers that are only far away. */
const ADDRESS_TIMEOUT_MS = 1_000;

type AddressCheck = (ip: string) => AddressDecision;

const CLOSED = new ConnectionError('connect', new Error('The connector is closed'));

export class GuardedConnector implements Connector {
  private readonly sockets = new Set<Socket>();
  private isClosed = false;
  /** Of the names that are being connected to: `connect()` looks them up before it returns. */
  private readonly resolved = new Map<string, LookupAddress[]>();
  private readonly connectPublic: buildConnector.connector;
  private readonly connectTrusted: buildConnector.connector;

  constructor(private readonly options: GuardedConnectorOptions) {
    this.connectPublic = this.connectorFor(this.checkPublic);
    this.connectTrusted = this.connectorFor(this.checkTrusted);
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
    const refused = this.isClosed ? CLOSED : literalRefusal(target.hostname, check);
    if (refused !== undefined) {
      process.nextTick(callback, refused, null);
      return undefined;
    }
    const connect = isTrusted ? this.connectTrusted : this.connectPublic;
    if (isIP(target.hostname)) return this.guarded(connect, check, target, callback);
    const opening = new OpeningByName(callback);
    this.resolve(target.hostname, opener, (error, addresses) => {
      if (opening.isDestroyed) return;
      if (this.isClosed) return callback(CLOSED, null);
      if (error) return callback(asNameError(error), null);
      this.resolved.set(target.hostname, addresses);
      opening.socket = this.guarded(connect, check, target, callback);
      this.resolved.delete(target.hostname);
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

  private guarded(
    connect: buildConnector.connector,
    check: AddressCheck,
    target: ConnectTarget,
    callback: buildConnector.Callback,
  ): Socket {
    let isConnected = false;
    // undici returns the socket that it opens; its type does not say so.
    const socket = connect(target, (error, opened) => {
      if (error === null) callback(null, opened);
      else callback(asConnectError(error, isConnected), null);
    }) as unknown as Socket;
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    // Prepended: the TLS handshake and the caller's first write start in later listeners.
    socket.prependOnceListener('connect', () => {
      isConnected = true;
      const refused = refusal([socket.remoteAddress ?? ''], check);
      if (refused !== undefined) socket.destroy(refused);
    });
    return socket;
  }

  private connectorFor(check: AddressCheck): buildConnector.connector {
    return buildConnector({
      timeout: CONNECT_TIMEOUT_MS,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
      lookup: this.guardedLookup(check),
      allowH2: false,
      minVersion: 'TLSv1.2',
      // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED=0 cannot switch it off.
      rejectUnauthorized: true,
    });
  }

  /** Refuses a name if one of its addresses is refused: its owner controls which one is used. */
  private guardedLookup(check: AddressCheck): LookupFunction {
    return (hostname, options, callback) => {
      const addresses = this.resolved.get(hostname) ?? [];
      const refused = refusal(
        addresses.map(({ address }) => address),
        check,
      );
      const [first] = addresses;
      if (refused || !first) callback(refused ?? noAddress(hostname), []);
      else if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    };
  }

  private resolve(hostname: string, opener: Opener, callback: ResolveCallback): void {
    if (isLocalhostName(hostname)) {
      // Never sent to DNS (RFC 6761), and IPv4 only, so that allowing 127.0.0.0/8 is enough.
      process.nextTick(callback, null, [{ address: '127.0.0.1', family: 4 }]);
    } else {
      this.options.resolve(hostname, opener, callback);
    }
  }
}

/** First its name is resolved, then there is a socket. */
class OpeningByName implements Opening {
  socket: Socket | undefined;
  isDestroyed = false;

  constructor(private readonly callback: buildConnector.Callback) {}

  destroy(error: Error): void {
    if (this.socket) this.socket.destroy(error);
    else if (!this.isDestroyed) process.nextTick(this.callback, error, null);
    this.isDestroyed = true;
  }
}

function literalRefusal(hostname: string, check: AddressCheck): BlockedAddressError | undefined {
  return isIP(hostname) === 0 ? undefined : refusal([hostname], check);
}

function refusal(addresses: string[], check: AddressCheck): BlockedAddressError | undefined {
  for (const address of addresses) {
    const decision = check(address);
    if (!decision.allowed) return new BlockedAddressError(address, decision.reason);
  }
  return undefined;
}

function asConnectError(error: Error, isConnected: boolean): Error {
  if (error instanceof BlockedAddressError) return error;
  return new ConnectionError(phaseOf(error, isConnected), error);
}

/** An error without a phase of its own: the name could not be resolved. */
const asNameError = (error: Error): Error =>
  error instanceof AttemptFailure ? error : new ConnectionError('dns', error);

function phaseOf(error: NodeJS.ErrnoException, isConnected: boolean): ConnectPhase {
  if (error instanceof errors.ConnectTimeoutError) return 'timeout';
  if (isConnected) return 'tls';
  return error.syscall === 'getaddrinfo' ? 'dns' : 'connect';
}

function noAddress(hostname: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${hostname} has no address`);
  return Object.assign(error, { code: 'ENODATA', syscall: 'getaddrinfo' });
}
