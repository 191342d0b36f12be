import {
  type AttemptError,
  type AttemptResult,
  bodyText,
  MAX_RESPONSE_BYTES,
  retryAfterText,
} from './attempt-result.js';
import type { DeadlineEntry } from './deadline-wheel.js';
import type { ResponseSink } from './response-parser.js';
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

/**
 * One request from call to result: what is sent, what has come in, and its entry in the deadline
 * wheel, in one object because there are tens of thousands a second.
 *
 * It gets one result, from whatever happens first: the end of the response, too much of it, an
 * error, the deadline. Once status and headers are in, that result is always `responded`.
 */
export class PendingRequest implements ResponseSink, DeadlineEntry {
  readonly deadlineMs: number;
  previousEntry: DeadlineEntry | null = null;
  nextEntry: DeadlineEntry | null = null;

  /** What carries the request; null while it waits for a connection to be free. */
  connection: { cut(): void } | null = null;

  /** Its caller has the result: nothing needs to be sent any more. */
  isSettled = false;

  private informationalCount = 0;
  private statusCode = 0;
  private retryAfter: string | null = null;
  private received: Buffer | null = null;
  private receivedBytes = 0;

  /**
   * @param head request line and headers, to be sent as they are
   * @param timeoutMs for everything, from now to the end of the response
   */
  constructor(
    readonly head: string,
    readonly body: Buffer,
    timeoutMs: number,
    readonly originPool: InFlight,
    private readonly startedMs: number,
    private readonly owner: RequestOwner,
    private readonly resolve: (result: AttemptResult) => void,
  ) {
    this.deadlineMs = startedMs + timeoutMs;
  }

  /** The deadline has passed: answers now, and sees to it that nothing is sent or read any more. */
  expire(): void {
    this.stop('timeout');
  }

  /** The response has come in to its end. */
  complete(): void {
    this.settle('bad_response');
  }

  /** It went wrong; a status that has come in counts nevertheless. */
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

  onBody(piece: Buffer): void {
    this.keep(piece);
    if (this.receivedBytes > MAX_RESPONSE_BYTES) this.stop('bad_response');
  }

  /** Settles first: cutting reports an error, which is no news by then. */
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
