import {
  type AttemptResult,
  bodyText,
  type FailureReason,
  MAX_RESPONSE_BYTES,
  retryAfterText,
  type Unsent,
  unsent,
} from '../attempt-result.js';
import { FAILURE_WORDS } from '../failure-reason.js';
import type { Opener } from './connection.client.js';
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
  /** Of the webhook; see {@link Opener.ownerKey}. */
  ownerKey: string;
  resolve: (result: AttemptResult | Unsent) => void;
}

/** What a request needs of its connection. */
export interface RequestConnection {
  /** Whether it is not open yet, and for no reason of the receiver. */
  readonly isUnderOutage: boolean;
  destroy(): void;
}

const BAD_RESPONSE: FailureReason = { error: 'bad_response', message: FAILURE_WORDS.bad_response };

/** A server sends one or two informational responses (100-199); endless ones are an attack. */
const MAX_INFORMATIONAL_RESPONSES = 16;

/**
 * One request from call to result: the bytes to send, the response so far, and its deadline, in one
 * object because there are tens of thousands a second.
 *
 * It gets one result, from the first of: the end of the response, too long a response, an error, the
 * deadline. Once status and headers have arrived, that result is always `responded`.
 */
export class PendingRequest implements ResponseSink, Opener {
  /** The connection that sends the request. */
  connection: RequestConnection | null = null;

  private isSettled = false;
  private isResent = false;
  /** It waits for a turn of its owner; its time does not run. */
  private isQueued = false;
  private startedMs: number;
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
    this.startedMs = context.startedMs;
    this.deadline = setTimeout(expireAfterReads, context.timeoutMs, this);
  }

  get ownerKey(): string {
    return this.context.ownerKey;
  }

  /** Once, and not after its deadline. */
  get mayBeResent(): boolean {
    return !this.isResent && !this.isSettled;
  }

  /** It is sent once more, as the same attempt: the deadline remains. */
  markResent(): void {
    this.isResent = true;
  }

  /** After a wait that is not the receiver's, its whole time is left. */
  setQueued(isQueued: boolean): void {
    this.isQueued = isQueued;
    if (isQueued || this.isSettled) return;
    this.startedMs = performance.now();
    this.deadline.refresh();
  }

  /** Settles now, and stops sending and reading. */
  expire(): void {
    this.stop(this.reasonOfDeadline());
  }

  /** The response has arrived, or what is not one: a status that has arrived counts. */
  end(): void {
    this.settle(BAD_RESPONSE);
  }

  /** The request failed; a status that has arrived counts nevertheless. */
  fail(reason: FailureReason | Unsent): void {
    this.settle(reason);
  }

  onInformational(): void {
    if (++this.informationalCount > MAX_INFORMATIONAL_RESPONSES) this.stop(BAD_RESPONSE);
  }

  onHead(statusCode: number, retryAfter: string | undefined): void {
    this.statusCode = statusCode;
    this.retryAfter = retryAfterText(retryAfter);
  }

  onBody(chunk: Buffer): void {
    this.append(chunk);
    if (this.receivedBytes > MAX_RESPONSE_BYTES) this.stop(BAD_RESPONSE);
  }

  /** Settles first: destroying the connection reports an error, which must not become the result. */
  private stop(reason: FailureReason | Unsent): void {
    if (this.isSettled) return;
    this.settle(reason);
    this.connection?.destroy();
  }

  /** A wait that is not the receiver's makes no attempt. */
  private reasonOfDeadline(): FailureReason | Unsent {
    if (this.isQueued) return unsent('dns_busy');
    if (this.connection?.isUnderOutage) return unsent('proxy_unavailable');
    const { timeoutMs } = this.context;
    return { error: 'timeout', message: `Timed out: no response within ${timeoutMs} ms.` };
  }

  /** @param reason of the failure, if no status has arrived */
  private settle(reason: FailureReason | Unsent): void {
    if (this.isSettled) return;
    this.isSettled = true;
    clearTimeout(this.deadline);
    this.context.pool.inFlight--;
    this.context.owner.onSettled(this);
    this.context.resolve(this.result(reason));
  }

  private result(reason: FailureReason | Unsent): AttemptResult | Unsent {
    const durationMs = Math.round(performance.now() - this.startedMs);
    if (this.statusCode === 0 && 'kind' in reason) return reason;
    const result: AttemptResult =
      this.statusCode === 0
        ? { kind: 'failed', ...(reason as FailureReason), durationMs }
        : {
            kind: 'responded',
            statusCode: this.statusCode,
            durationMs,
            body: this.received && bodyText(this.received.subarray(0, this.receivedBytes)),
            retryAfter: this.retryAfter,
          };
    if (this.isResent) result.isResent = true;
    return result;
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
