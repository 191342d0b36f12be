import { lookup as dnsLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { buildConnector, errors } from 'undici';
import { type AddressClass, type AddressPolicy, classify, type Verdict } from './address-policy.js';
import { isLocalhostName } from './webhook-url.js';

/**
 * Opens the connections of outgoing requests, and refuses those that the address policy forbids.
 *
 * The policy is asked three times, because each place alone has a hole: for a literal address (no
 * lookup is ever made for one), for every address that a name resolves to (the connection may be
 * made to any of them), and for the peer of the open socket, before a byte is written to it, so
 * that neither a hosts file nor an error of ours gets past the first two.
 */

/** The address policy refused the target. The address is for operators, never for customers. */
export class BlockedAddressError extends Error {
  readonly code = 'ERR_BLOCKED_ADDRESS';

  constructor(
    readonly address: string,
    readonly reason: AddressClass,
  ) {
    super(`The address ${address} is not allowed (${reason})`);
    this.name = 'BlockedAddressError';
  }
}

/** How far a connection came that never became usable. */
export type ConnectPhase = 'dns' | 'connect' | 'tls' | 'timeout';

/** No connection came about; the system's own error is the cause. */
export class ConnectionError extends Error {
  readonly code = 'ERR_OUTBOUND_CONNECTION';

  constructor(
    readonly phase: ConnectPhase,
    cause: Error,
  ) {
    super(`No connection: failed at ${phase}`, { cause });
    this.name = 'ConnectionError';
  }
}

export interface GuardedConnectorOptions {
  policy: AddressPolicy;
  /** Exact origins that may also connect to loopback; see `OutboundHttpClient.trustOrigin`. */
  trustedOrigins: ReadonlySet<string>;
  /** All addresses of a name; the system's resolver unless given. */
  resolve?: Resolve;
}

export type Resolve = (hostname: string, callback: ResolveCallback) => void;

type ResolveCallback = (error: NodeJS.ErrnoException | null, addresses?: LookupAddress[]) => void;

/** Resolving, connecting and the TLS handshake together; an attempt's deadline may cut it shorter. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Node's 250 ms for each address give up healthy servers that are only far away. */
const ADDRESS_TIMEOUT_MS = 1_000;

type Judge = (ip: string) => Verdict;

const CLOSED = new ConnectionError('connect', new Error('The connector is closed'));

export class GuardedConnector {
  private readonly sockets = new Set<Socket>();
  private isClosed = false;
  private readonly lookups = new Map<string, ResolveCallback[]>();
  private readonly connectPublic: buildConnector.connector;
  private readonly connectTrusted: buildConnector.connector;

  constructor(private readonly options: GuardedConnectorOptions) {
    this.connectPublic = this.connectorFor(this.judgePublic);
    this.connectTrusted = this.connectorFor(this.judgeTrusted);
  }

  /**
   * Opens a connection and calls back, in the manner of undici's connectors.
   *
   * @returns the socket, to be destroyed by whoever gives up waiting; undefined when refused
   */
  open(target: buildConnector.Options, callback: buildConnector.Callback): Socket | undefined {
    const isTrusted = this.options.trustedOrigins.has(`${target.protocol}//${target.host}`);
    const judge = isTrusted ? this.judgeTrusted : this.judgePublic;
    const refused = this.isClosed ? CLOSED : literalRefusal(target.hostname, judge);
    if (refused !== undefined) {
      process.nextTick(callback, refused, null);
      return undefined;
    }
    const connect = isTrusted ? this.connectTrusted : this.connectPublic;
    return this.guarded(connect, judge, target, callback);
  }

  /** Cuts every connection, also those still being opened, and opens no more. */
  close(): void {
    this.isClosed = true;
    for (const socket of this.sockets) socket.destroy();
  }

  private readonly judgePublic: Judge = (ip) => this.options.policy.judge(ip);

  private readonly judgeTrusted: Judge = (ip) =>
    classify(ip) === 'loopback' ? { allowed: true } : this.options.policy.judge(ip);

  private guarded(
    connect: buildConnector.connector,
    judge: Judge,
    target: buildConnector.Options,
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
    // Prepended: the TLS handshake starts in later listeners, and so does whoever was called back.
    socket.prependOnceListener('connect', () => {
      isConnected = true;
      const refused = refusal([socket.remoteAddress ?? ''], judge);
      if (refused !== undefined) socket.destroy(refused);
    });
    return socket;
  }

  private connectorFor(judge: Judge): buildConnector.connector {
    return buildConnector({
      timeout: CONNECT_TIMEOUT_MS,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
      lookup: this.guardedLookup(judge),
      allowH2: false,
      minVersion: 'TLSv1.2',
      // Said out loud, so that NODE_TLS_REJECT_UNAUTHORIZED=0 cannot switch it off.
      rejectUnauthorized: true,
    });
  }

  /** Refuses a name as soon as one of its addresses is refused: the others may be bait. */
  private guardedLookup(judge: Judge): LookupFunction {
    return (hostname, options, callback) => {
      this.resolve(hostname, (error, addresses = []) => {
        const refused =
          error ??
          refusal(
            addresses.map(({ address }) => address),
            judge,
          );
        const [first] = addresses;
        if (refused || !first) callback(refused ?? noAddress(hostname), []);
        else if (options.all) callback(null, addresses);
        else callback(null, first.address, first.family);
      });
    };
  }

  /**
   * Resolves a name once for everybody who is asking for it at this moment: the system resolver
   * occupies one of few threads per question, and one dead name server must not take them all.
   */
  private resolve(hostname: string, callback: ResolveCallback): void {
    if (isLocalhostName(hostname)) {
      // Not asked of DNS (RFC 6761), and IPv4 only, so that allowing 127.0.0.0/8 is enough.
      process.nextTick(callback, null, [{ address: '127.0.0.1', family: 4 }]);
      return;
    }
    const waiting = this.lookups.get(hostname);
    if (waiting !== undefined) {
      waiting.push(callback);
      return;
    }
    const callbacks = [callback];
    this.lookups.set(hostname, callbacks);
    const resolve = this.options.resolve ?? systemResolve;
    resolve(hostname, (error, addresses) => {
      this.lookups.delete(hostname);
      for (const answer of callbacks) answer(error, addresses);
    });
  }
}

const systemResolve: Resolve = (hostname, callback) => {
  dnsLookup(hostname, { all: true, order: 'verbatim' }, callback);
};

function literalRefusal(hostname: string, judge: Judge): BlockedAddressError | undefined {
  return isIP(hostname) === 0 ? undefined : refusal([hostname], judge);
}

function refusal(addresses: string[], judge: Judge): BlockedAddressError | undefined {
  for (const address of addresses) {
    const verdict = judge(address);
    if (!verdict.allowed) return new BlockedAddressError(address, verdict.reason);
  }
  return undefined;
}

function asConnectError(error: Error, isConnected: boolean): Error {
  if (error instanceof BlockedAddressError) return error;
  return new ConnectionError(phaseOf(error, isConnected), error);
}

function phaseOf(error: NodeJS.ErrnoException, isConnected: boolean): ConnectPhase {
  if (error instanceof errors.ConnectTimeoutError) return 'timeout';
  if (isConnected) return 'tls';
  return error.syscall === 'getaddrinfo' ? 'dns' : 'connect';
}

function noAddress(hostname: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${hostname} has no address`);
  return Object.assign(error, { code: 'ENODATA', syscall: 'getaddrinfo' });
}
