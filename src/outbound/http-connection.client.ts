import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import type { AttemptError } from './attempt-result.js';
import {
  BlockedAddressError,
  ConnectionError,
  type GuardedConnector,
} from './guarded-connector.client.js';
import type { PendingRequest } from './pending-request.client.js';
import { type Progress, ResponseParser } from './response-parser.js';

/** What a connection tells the pool that it belongs to. */
export interface ConnectionOwner {
  /** Its request has its answer, and it can carry another. */
  onFree(connection: HttpConnection): void;
  /** It is closed, or never came about. Its request has been told. */
  onGone(connection: HttpConnection): void;
}

/** Longer bodies are not copied to stand behind their headers in one write. */
const ONE_WRITE_BYTES = 64 * 1024;

/** For servers that do not say how long they keep an idle connection. */
const IDLE_MS = 15_000;
/** A connection is not kept longer, so that it does not outlive a change of the address policy. */
const MAX_IDLE_MS = 60_000;
/** So much sooner than the server, which may otherwise close while a request is on its way. */
const IDLE_MARGIN_MS = 1_000;

const IS_CUT = new Error('The connection was cut');

/**
 * One connection, which carries one request at a time, from being opened for the first one on.
 *
 * Own code instead of undici's client, which takes twice the processor time for a delivery: 50
 * instead of 24 us, signature and system calls included (docs/performance.md). What makes that
 * possible is that it can do so little: POST, one after the other, answers of a few kilobytes.
 */
export class HttpConnection {
  private socket: Socket | undefined;
  private request: PendingRequest | null;
  private parser: ResponseParser | null = null;
  /** On the clock of `performance.now()`, of one that is free. */
  private idleUntilMs = 0;
  private error: Error | undefined;
  private hasAnswerBegun = false;

  constructor(
    connector: GuardedConnector,
    target: buildConnector.Options,
    first: PendingRequest,
    private readonly owner: ConnectionOwner,
  ) {
    this.request = first;
    first.connection = this;
    this.socket = connector.open(target, (error, socket) => {
      if (socket) this.begin(socket);
      else this.gone(error ?? undefined);
    });
  }

  /** Whether it can still be used, of one that is free. It may be closed before its owner hears it. */
  isUsable(nowMs: number): boolean {
    return this.idleUntilMs > nowMs && !this.socket!.destroyed;
  }

  /** Sends a request over this connection, which is free. */
  carry(request: PendingRequest): void {
    this.request = request;
    request.connection = this;
    this.send(request);
  }

  /** Ends it, or the attempt to open it, and fails the request that is on it. */
  cut(): void {
    // With an error, because one that is still being opened says nothing otherwise.
    this.socket?.destroy(IS_CUT);
  }

  private begin(socket: Socket): void {
    this.socket = socket;
    socket
      .on('data', (bytes: Buffer) => this.read(bytes))
      .on('end', () => this.readEnd())
      .on('error', (error) => (this.error = error))
      .on('close', () => this.gone(this.error));
    this.send(this.request!);
  }

  private send(request: PendingRequest): void {
    const socket = this.socket!;
    const { head, body } = request;
    this.hasAnswerBegun = false;
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
    this.hasAnswerBegun = true;
    // Without a request: an answer that nobody asked for, or that came too late.
    if (this.parser) this.proceed(this.parser, this.parser.feed(bytes));
    else this.cut();
  }

  private readEnd(): void {
    if (this.parser?.end() === 'complete') this.proceed(this.parser, 'complete');
    this.cut();
  }

  private proceed(parser: ResponseParser, progress: Progress): void {
    if (progress === 'incomplete') return;
    const request = this.request!;
    this.request = this.parser = null;
    if (progress === 'complete') request.complete();
    else request.fail('bad_response');
    // An answer that came before the request was sent leaves the rest of it on the way.
    const isFree = progress === 'complete' && parser.isPersistent && !this.socket!.writableLength;
    if (isFree && this.keep(parser.idleSeconds)) this.owner.onFree(this);
    else this.cut();
  }

  /** @returns whether it can be used again */
  private keep(idleSeconds: number | undefined): boolean {
    const idleMs =
      idleSeconds === undefined
        ? IDLE_MS
        : Math.min(idleSeconds * 1_000 - IDLE_MARGIN_MS, MAX_IDLE_MS);
    const nowMs = performance.now();
    this.idleUntilMs = nowMs + idleMs;
    return this.isUsable(nowMs);
  }

  private gone(error: NodeJS.ErrnoException | undefined): void {
    this.request?.fail(errorOf(error, this.hasAnswerBegun));
    this.request = this.parser = null;
    this.owner.onGone(this);
  }
}

/** What an error means to a customer; recognised by class and code, never by text. */
function errorOf(error: NodeJS.ErrnoException | undefined, hasAnswerBegun: boolean): AttemptError {
  if (error instanceof BlockedAddressError) return 'blocked';
  if (error instanceof ConnectionError) return error.phase;
  if (hasAnswerBegun) return 'bad_response';
  // A server that wants a client certificate says so after the handshake (TLS 1.3).
  return error?.code?.startsWith('ERR_SSL_') ? 'tls' : 'http';
}
