import type { Socket } from 'node:net';
import { AttemptFailure, type FailureReason, type Unsent } from '../attempt-result.js';
import { brokenReason } from '../failure-reason.js';
import type { TlsSettings } from '../tls-settings.js';
import type { PendingRequest, RequestConnection } from './pending-request.client.js';
import { type Progress, ResponseParser } from './response-parser.js';

/** Where a connection goes, in the form that `net.connect()` takes. */
export interface ConnectTarget {
  /** `http:` or `https:` */
  protocol: string;
  /** With the port, if it is not the default of the protocol. */
  host: string;
  /** An IPv6 address without its brackets. */
  hostname: string;
  /** Empty for the default of the protocol. */
  port: string;
  /** How both sides prove who they are; undefined: the default of the installation. */
  tls?: TlsSettings | undefined;
}

/** The request that a connection is opened for. */
export interface Opener {
  /** Of the webhook: what is shared between owners is shared by it. */
  readonly ownerKey: string;
  /**
   * Called with true while opening waits for a turn of its owner, not for the receiver, and with
   * false when it goes on.
   */
  setQueued(isQueued: boolean): void;
}

/** A connection that is being opened. */
export interface Opening {
  /** Whether it waits for a part of the installation that does not answer, and not for the receiver. */
  readonly isUnderOutage?: boolean;
  /** Stops it: the callback gets this error. */
  destroy(error: Error): void;
}

/** Opens TCP and TLS connections; decides which addresses may be reached. */
export interface Connector {
  /**
   * Calls back once and later, with an error or with an open socket.
   *
   * @returns to be destroyed by a caller that stops waiting; undefined when it is refused already
   */
  open(
    target: ConnectTarget,
    opener: Opener,
    callback: (...result: [Error, null] | [null, Socket]) => void,
  ): Opening | undefined;
}

/** The pool that a connection belongs to. */
export interface ConnectionOwner {
  /** Its request has its response, and the connection can carry another. */
  onFree(connection: Connection): void;
  /** The server closed it before a byte of the response to a request that was not its first. */
  onUnanswered(request: PendingRequest): void;
  /** It is closed, or could not be opened. Its request has been failed. */
  onClosed(connection: Connection): void;
}

/** A longer body is not copied in order to leave in the same write as its headers. */
const ONE_WRITE_BYTES = 64 * 1024;

/** For servers that do not announce how long they keep an idle connection. */
const IDLE_MS = 15_000;
/** No idle connection is kept longer, so that it does not outlive a change of the address policy. */
const MAX_IDLE_MS = 60_000;
/** Our end closes this much before the server's, which could close while a request is on its way. */
const IDLE_MARGIN_MS = 1_000;

const DESTROYED = new Error('The connection was destroyed');

/**
 * One connection, from being opened for its first request on. It carries one request at a time.
 *
 * Own code instead of undici's client, which takes twice the processor time: see the README beside.
 */
export class Connection implements RequestConnection {
  private readonly opening: Opening | undefined;
  private socket: Socket | undefined;
  private request: PendingRequest | null;
  private parser: ResponseParser | null = null;
  /** Until when a free connection may be used, on the clock of `performance.now()`. */
  private idleUntilMs = 0;
  private error: Error | undefined;
  private isReused = false;

  constructor(
    connector: Connector,
    target: ConnectTarget,
    first: PendingRequest,
    private readonly owner: ConnectionOwner,
  ) {
    this.request = first;
    first.connection = this;
    this.opening = connector.open(target, first, (error, socket) => {
      if (socket) this.begin(socket);
      else this.close(error ?? undefined);
    });
  }

  get isUnderOutage(): boolean {
    return this.socket === undefined && this.opening?.isUnderOutage === true;
  }

  /** Whether a free connection can be used. Its owner may learn later that it has been closed. */
  isUsable(nowMs: number): boolean {
    return this.idleUntilMs > nowMs && !this.socket!.destroyed;
  }

  /** Sends a request over this connection, which is free. */
  send(request: PendingRequest): void {
    this.isReused = true;
    this.request = request;
    request.connection = this;
    this.write(request);
  }

  /** Ends it, or the attempt to open it, and fails its request. */
  destroy(): void {
    // With an error: a connection that is still being opened would not call back without one.
    (this.socket ?? this.opening)?.destroy(DESTROYED);
  }

  private begin(socket: Socket): void {
    this.socket = socket;
    socket
      .on('data', (bytes: Buffer) => this.read(bytes))
      .on('end', () => this.readEnd())
      .on('error', (error) => (this.error = error))
      .on('close', () => this.close(this.error));
    this.write(this.request!);
  }

  private write(request: PendingRequest): void {
    const socket = this.socket!;
    const { head, body } = request;
    this.parser = new ResponseParser(request);
    if (body.length <= ONE_WRITE_BYTES) {
      const message = Buffer.allocUnsafe(head.length + body.length);
      message.write(head, 'latin1');
      body.copy(message, head.length);
      socket.write(message);
    } else {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body);
      socket.uncork();
    }
  }

  private read(bytes: Buffer): void {
    // Without a request: a response that was not asked for, or that came too late.
    if (this.parser) this.proceed(this.parser, this.parser.feed(bytes));
    else this.destroy();
  }

  private readEnd(): void {
    if (this.parser?.end() === 'complete') this.proceed(this.parser, 'complete');
    this.destroy();
  }

  private proceed(parser: ResponseParser, progress: Progress): void {
    if (progress === 'incomplete') return;
    const request = this.request!;
    this.request = this.parser = null;
    request.end();
    // A response that came before the request was sent leaves the rest of the request on its way.
    const isFree = progress === 'complete' && parser.isPersistent && !this.socket!.writableLength;
    if (isFree && this.startIdle(parser.idleSeconds)) this.owner.onFree(this);
    else this.destroy();
  }

  /** @returns whether it can be used again */
  private startIdle(idleSeconds: number | undefined): boolean {
    const idleMs =
      idleSeconds === undefined
        ? IDLE_MS
        : Math.min(idleSeconds * 1_000 - IDLE_MARGIN_MS, MAX_IDLE_MS);
    const nowMs = performance.now();
    this.idleUntilMs = nowMs + idleMs;
    return this.isUsable(nowMs);
  }

  private close(error: NodeJS.ErrnoException | undefined): void {
    const { request, parser } = this;
    this.request = this.parser = null;
    this.owner.onClosed(this);
    if (request === null) return;
    const hasResponseBegun = parser?.hasBegun ?? false;
    // The server may have closed it while it was idle, and this request was on its way (RFC 9112,
    // 9.3.1). The id of the message lets a receiver that has acted on it drop the second one.
    if (this.isReused && !hasResponseBegun && request.mayBeResent) {
      this.owner.onUnanswered(request);
    } else {
      request.fail(this.failureOf(error === DESTROYED ? undefined : error, hasResponseBegun));
    }
  }

  private failureOf(
    error: NodeJS.ErrnoException | undefined,
    hasResponseBegun: boolean,
  ): FailureReason | Unsent {
    if (error instanceof AttemptFailure) return error.failure;
    const isAfterHandshake =
      !this.isReused && this.socket !== undefined && 'encrypted' in this.socket;
    return brokenReason(error, hasResponseBegun, isAfterHandshake);
  }
}

/** What a field can hold (RFC 9110, 5.5), without bytes that some receivers would read as UTF-8. */
const VALUE = /^[\t\x20-\x7e]*$/;
const NAME = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
/** As a parsed URL gives it. */
const PATH = /^\/[\x21-\x7e]*$/;

export interface HeadFields {
  path: string;
  /** A flat list: name, value, name, value, … */
  headers: readonly string[];
  /** With the port, if it is not the default of the scheme. */
  host: string;
  bodyBytes: number;
}

/**
 * Request line and headers of a POST over a persistent connection (RFC 9112). Asks for an unencoded
 * response: nothing is ever inflated, and a compressed body would be stored as noise.
 *
 * @returns undefined for a path or header that would change the request when written as it is
 */
export function requestHead({ path, headers, host, bodyBytes }: HeadFields): string | undefined {
  if (!PATH.test(path)) return undefined;
  let head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    const value = headers[index + 1]!;
    if (!NAME.test(name) || !VALUE.test(value)) return undefined;
    head += `${name}: ${value}\r\n`;
  }
  return `${head}accept-encoding: identity\r\ncontent-length: ${bodyBytes}\r\n\r\n`;
}
