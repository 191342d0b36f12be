import { type Dispatcher, errors } from 'undici';
import {
  type AttemptError,
  type AttemptResult,
  bodyText,
  MAX_RESPONSE_BYTES,
  retryAfterText,
} from './attempt-result.js';
import type { DeadlineEntry } from './deadline-wheel.js';
import { BlockedAddressError, ConnectionError } from './guarded-connector.client.js';
import type { OutboundTarget } from './webhook-url.js';

/** One POST. The headers are a flat list: name, value, name, value, …; framing is added. */
export interface OutboundRequest {
  url: OutboundTarget;
  headers: readonly string[];
  body: Buffer | string;
  /** For the whole attempt, from the call to the end of the response. */
  timeoutMs: number;
}

/** Counts the requests of a pool that have no result yet. */
export interface InFlight {
  inFlight: number;
}

/** Told exactly once, when a request has its result. */
export interface RequestOwner {
  release(request: PendingRequest): void;
}

/** A server sends one or two informational responses (100-199); endless ones are an attack. */
const MAX_INFORMATIONAL_RESPONSES = 16;

const IS_OVER = new Error('The attempt is over');

/** Nothing is ever inflated, so a compressed body would be stored as noise. */
const PROTOCOL_HEADERS = ['accept-encoding', 'identity'];

/**
 * One request from call to result: its options and its handler for undici, and its entry in the
 * deadline wheel, in one object because there are tens of thousands a second.
 *
 * It gets one result, from whatever happens first: the end of the response, too much of it, an
 * error, the deadline. Once status and headers are in, that result is always `responded`.
 */
export class PendingRequest
  implements Dispatcher.DispatchOptions, Dispatcher.DispatchHandler, DeadlineEntry
{
  readonly method = 'POST';
  readonly blocking = false;
  readonly path: string;
  readonly headers: string[];
  readonly body: Buffer | string;

  readonly deadlineMs: number;
  previousEntry: DeadlineEntry | null = null;
  nextEntry: DeadlineEntry | null = null;

  /** What carries the request; null while it waits for a connection to be free. */
  connection: { cut(): void } | null = null;

  private isSettled = false;
  private hasAnswerBegun = false;
  private informationalCount = 0;
  private statusCode = 0;
  private retryAfter: string | null = null;
  private received: Buffer | null = null;
  private receivedBytes = 0;

  constructor(
    request: OutboundRequest,
    readonly originPool: InFlight,
    private readonly startedMs: number,
    private readonly owner: RequestOwner,
    private readonly resolve: (result: AttemptResult) => void,
  ) {
    this.path = request.url.path;
    this.headers = request.headers.concat(PROTOCOL_HEADERS);
    this.body = request.body;
    this.deadlineMs = startedMs + request.timeoutMs;
  }

  /** The deadline has passed: answers now, and sees to it that nothing is sent or read any more. */
  expire(): void {
    this.stop('timeout');
  }

  onRequestStart(): void {
    // Throwing drops a request that waited too long, and keeps the connection for others.
    if (this.isSettled) throw IS_OVER;
  }

  /** At the first byte: tells a broken answer from a connection that broke without any. */
  onResponseStarted(): void {
    this.hasAnswerBegun = true;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (statusCode >= 200) {
      this.statusCode = statusCode;
      this.retryAfter = retryAfterText(headers['retry-after']);
    } else if (++this.informationalCount > MAX_INFORMATIONAL_RESPONSES) {
      this.stop('bad_response');
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.keep(chunk);
    if (this.receivedBytes > MAX_RESPONSE_BYTES) this.stop('bad_response');
  }

  onResponseEnd(): void {
    this.settle('bad_response');
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.isSettled) this.settle(errorOf(error, this.hasAnswerBegun));
  }

  /** Settles first: cutting reports an error to this handler, which is no news by then. */
  private stop(errorWithoutStatus: AttemptError): void {
    if (this.isSettled) return;
    this.settle(errorWithoutStatus);
    this.connection?.cut();
  }

  private settle(errorWithoutStatus: AttemptError): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.owner.release(this);
    this.resolve(this.result(errorWithoutStatus));
  }

  private result(errorWithoutStatus: AttemptError): AttemptResult {
    const durationMs = Math.round(performance.now() - this.startedMs);
    if (this.statusCode === 0) return { kind: 'failed', error: errorWithoutStatus, durationMs };
    return {
      kind: 'responded',
      statusCode: this.statusCode,
      durationMs,
      body: this.received && bodyText(this.received.subarray(0, this.receivedBytes)),
      retryAfter: this.retryAfter,
    };
  }

  /** One chunk is kept as it is; more are copied, so that a thousand tiny ones cost no more. */
  private keep(chunk: Buffer): void {
    if (this.received === null) {
      this.received = chunk;
    } else {
      if (this.received.length < MAX_RESPONSE_BYTES) this.received = enlarged(this.received);
      chunk.copy(this.received, this.receivedBytes);
    }
    this.receivedBytes += chunk.length;
  }
}

function enlarged(first: Buffer): Buffer {
  const whole = Buffer.allocUnsafe(MAX_RESPONSE_BYTES);
  first.copy(whole);
  return whole;
}

/** What an error of the client means to a customer; recognised by class and code, never by text. */
function errorOf(error: NodeJS.ErrnoException, hasAnswerBegun: boolean): AttemptError {
  if (error instanceof BlockedAddressError) return 'blocked';
  if (error instanceof ConnectionError) return error.phase;
  if (hasAnswerBegun || error instanceof errors.HTTPParserError) return 'bad_response';
  // A server that wants a client certificate says so after the handshake (TLS 1.3).
  return error.code?.startsWith('ERR_SSL_') ? 'tls' : 'http';
}
