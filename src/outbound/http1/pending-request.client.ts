import {
  type AttemptError,
  type AttemptResult,
  bodyText,
  MAX_RESPONSE_BYTES,
  retryAfterText,
} from '../attempt-result.js';
import type { ResponseSink } from './response-parser.js';

/** Counts the requests of a pool that have no result yet. */
export interface InFlightCounter {
  inFlight: number;
}

/** Keeps track of the requests that have no result yet. */
export interface RequestOwner {
  /** Called exactly once per request, when it has its result. */
  onSettled(request: PendingRequest): void;
}

/** What a request needs besides its bytes. */
export interface RequestContext {
  /** For everything, from {@link startedMs} to the end of the response. */
  timeoutMs: number;
  /** On the clock of `performance.now()`. */
  startedMs: number;
  pool: InFlightCounter;
  owner: RequestOwner;
  resolve: (result: AttemptResult) => void;
}

/** A server sends one or two informational responses (100-199); endless ones are an attack. */
const MAX_INFORMATIONAL_RESPONSES = 16;

/**
 * One request from call to result: the bytes to send, the response so far, and its deadline, in one
 * object because there are tens of thousands a second.
 *
 * It gets one result, from the first of: the end of the response, too long a response, an error, the
 * deadline. Once status and headers have arrived, that result is always `responded`.
 */
export class PendingRequest implements ResponseSink {
  /** The connection that sends the request; null while it waits for a free one. */
  connection: { destroy(): void } | null = null;

  /** The caller has the result; the request need not be sent any more. */
  isSettled = false;

  private informationalCount = 0;
  private statusCode = 0;
  private retryAfter: string | null = null;
  private received: Buffer | null = null;
  private receivedBytes = 0;
  /** A timer each: Node keeps one list per duration, so setting and clearing are O(1). */
  private readonly deadline: NodeJS.Timeout;

  /** @param head request line and headers, sent as they are */
  constructor(
    readonly head: string,
    readonly body: Buffer,
    private readonly context: RequestContext,
  ) {
    context.pool.inFlight++;
    this.deadline = setTimeout(expireAfterReads, context.timeoutMs, this);
  }

  /** Settles now, and stops sending and reading. */
  expire(): void {
    this.stop('timeout');
  }

  /** The response has arrived completely. */
  complete(): void {
    this.settle('bad_response');
  }

  /** The request failed; a status that has arrived counts nevertheless. */
  fail(error: AttemptError): void {
    this.settle(error);
  }

  onInformational(): void {
    if (++this.informationalCount > MAX_INFORMATIONAL_RESPONSES) this.stop('bad_response');
  }

  onHead(statusCode: number, retryAfter: string | undefined): void {
    this.statusCode = statusCode;
    this.retryAfter = retryAfterText(retryAfter);
  }

  onBody(chunk: Buffer): void {
    this.append(chunk);
    if (this.receivedBytes > MAX_RESPONSE_BYTES) this.stop('bad_response');
  }

  /** Settles first: destroying the connection reports an error, which must not become the result. */
  private stop(errorWithoutStatus: AttemptError): void {
    if (this.isSettled) return;
    this.settle(errorWithoutStatus);
    this.connection?.destroy();
  }

  private settle(errorWithoutStatus: AttemptError): void {
    if (this.isSettled) return;
    this.isSettled = true;
    clearTimeout(this.deadline);
    this.context.pool.inFlight--;
    this.context.owner.onSettled(this);
    this.context.resolve(this.result(errorWithoutStatus));
  }

  private result(errorWithoutStatus: AttemptError): AttemptResult {
    const durationMs = Math.round(performance.now() - this.context.startedMs);
    if (this.statusCode === 0) return { kind: 'failed', error: errorWithoutStatus, durationMs };
    return {
      kind: 'responded',
      statusCode: this.statusCode,
      durationMs,
      body: this.received && bodyText(this.received.subarray(0, this.receivedBytes)),
      retryAfter: this.retryAfter,
    };
  }

  /** Keeps a single chunk as it is; copies further ones, so that tiny ones cost no memory each. */
  private append(chunk: Buffer): void {
    if (this.received === null) {
      this.received = chunk;
    } else {
      if (this.received.length < MAX_RESPONSE_BYTES) this.received = enlarged(this.received);
      chunk.copy(this.received, this.receivedBytes);
    }
    this.receivedBytes += chunk.length;
  }
}

/**
 * Sockets are read before immediates run: when the process was busy past a deadline, a response that
 * has arrived in the meantime still counts.
 */
function expireAfterReads(request: PendingRequest): void {
  setImmediate(expire, request);
}

const expire = (request: PendingRequest): void => request.expire();

function enlarged(first: Buffer): Buffer {
  const whole = Buffer.allocUnsafe(MAX_RESPONSE_BYTES);
  first.copy(whole);
  return whole;
}
