import type { Principal } from '../../auth/principal.js';
import { CLOSE_REASONS, type CloseReason, mayReconnect } from '../close-codes.js';
import type { Encoding, Frame, FrameBatch } from '../fanout/frame.js';
import { CLOSE_GRACE_MS, MAX_BACKLOG_BYTES } from '../limits.js';
import type { Notices } from '../realtime-events.js';
import type { TokenBucket } from './token-bucket.js';
import type { ReplayBuffer } from '../resume/replay-buffer.js';
import type { Subscription } from '../subscriptions/topic.js';

/** What the handshake has found out: one who may come in, and has a place. */
export interface Admission {
  /** `con_…` */
  connectionId: string;
  principal: Principal;
  /** Kept, if it was the credential, to ask again whether it is still good. */
  apiKey?: string | undefined;
  budget: TokenBucket;
  /** Gives the place back; may be called again. */
  leave(): void;
}

/** Where live events come from. Some may wait for a moment, to be sent together with the next ones. */
export interface LiveEvents {
  /** Sends those to the connection that it has not been sent yet. */
  catchUp(connection: Connection): void;
}

/** How a client is connected. */
export const TRANSPORTS = ['socket.io', 'websocket', 'event-stream'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/**
 * A client that is connected, however it is. What it hears and may ask for is decided elsewhere; a
 * transport only says how to write to it and how to let it go.
 */
export abstract class Connection {
  readonly id: string;
  /** Changes with `auth:refresh`. */
  principal: Principal;
  apiKey: string | undefined;
  /** By `topicKey`. Changed by `Subscriptions` only. */
  readonly topics = new Map<string, Subscription>();
  readonly budget: TokenBucket;
  /** Milliseconds since 1970. */
  readonly openedAtMs = Date.now();
  /** Messages that were refused in a row because there were too many. */
  refusals = 0;
  /** Stands before the live events while the connection is sent what it missed. */
  gate: ReplayBuffer | undefined;
  /** Bytes that were handed to the transport since the beginning. */
  sentBytes = 0;
  /** Whatever was sent and taken since the beginning: events, notices, requests. */
  sentMessages = 0;
  receivedMessages = 0;
  /** The last live event, in the order of this process, that it was sent or does not hear. */
  position = 0;

  /** Why the server has ended it; undefined: it has not, or the client was first. */
  closeReason: CloseReason | undefined;

  abstract readonly transport: Transport;
  abstract readonly encoding: Encoding;
  /** How often the server shows that it is there. */
  abstract readonly heartbeatMs: number;
  /** Bytes that wait in this process because the client does not read them. */
  abstract readonly backlogBytes: number;

  private state: 'open' | 'closing' | 'ended' = 'open';
  private liveEvents: LiveEvents | undefined;
  private readonly endListeners: (() => void)[] = [];

  constructor(admission: Admission) {
    this.id = admission.connectionId;
    this.principal = admission.principal;
    this.apiKey = admission.apiKey;
    this.budget = admission.budget;
    this.whenEnded(() => admission.leave());
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  /** From now on it can hear live events. */
  follow(liveEvents: LiveEvents): void {
    this.liveEvents = liveEvents;
  }

  /** Sends the live events that wait. To be called before anything that has to come after them. */
  catchUp(): void {
    this.liveEvents?.catchUp(this);
  }

  /** Sends live events, now or when what comes before them has been replayed. */
  deliver(bundle: FrameBatch): void {
    const { gate, encoding } = this;
    const { events } = bundle;
    const passed = gate
      ? events.filter((event) => !gate.stops(event.id, event.frame(encoding)))
      : events;
    const frames =
      passed.length === events.length
        ? bundle.framesFor(encoding)
        : passed.map((event) => event.frame(encoding));
    this.sentMessages += passed.length;
    for (const frame of frames) this.put(frame);
    if (gate && gate.waitingBytes > MAX_BACKLOG_BYTES) this.close('slow_consumer');
  }

  /** Sends it after the live events that wait. */
  send(frame: Frame): void {
    this.catchUp();
    this.sentMessages++;
    this.put(frame);
  }

  /** The same with events that come before the live ones. */
  sendAll(bundle: FrameBatch): void {
    this.catchUp();
    this.sentMessages += bundle.events.length;
    for (const frame of bundle.framesFor(this.encoding)) this.put(frame);
  }

  /** Says something to this connection only. */
  say<Name extends keyof Notices>(name: Name, payload: Notices[Name]): void {
    this.send(this.encoding.notice(name, payload));
  }

  /** Tells the client why, and lets it go; whether it wants or not, it is gone after a moment. */
  close(reason: CloseReason, reconnectInMs = 0): void {
    // Which may be too much for it, and end it for that.
    this.catchUp();
    if (this.state !== 'open') return;
    const { message } = CLOSE_REASONS[reason];
    // Behind a backlog nobody would see it, and the backlog would grow.
    if (this.backlogBytes <= MAX_BACKLOG_BYTES) {
      if (reason === 'draining') this.say('draining', { reconnectInMs });
      else this.say('error', { code: reason, message, reconnect: mayReconnect(reason) });
    }
    this.state = 'closing';
    this.closeReason = reason;
    const cut = setTimeout(() => this.cut(), CLOSE_GRACE_MS).unref();
    this.whenEnded(() => clearTimeout(cut));
    this.end(reason);
  }

  /** Ends it now, without a word. */
  cut(): void {
    this.destroy();
    this.ended();
  }

  /** Calls back once when the connection is over. */
  whenEnded(listener: () => void): void {
    this.endListeners.push(listener);
  }

  /** Called by the transport when the client is gone, for whatever reason. */
  protected ended(): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    for (const listener of this.endListeners.splice(0)) listener();
  }

  /** Writes it, unless the connection is closing; one that is too far behind is cut instead. */
  private put(frame: Frame): void {
    if (this.state !== 'open') return;
    if (this.backlogBytes > MAX_BACKLOG_BYTES) return this.close('slow_consumer');
    this.sentBytes += frame.bytes.length;
    this.write(frame);
  }

  protected abstract write(frame: Frame): void;
  /** Closes in the way of the transport, after what was written. */
  protected abstract end(reason: CloseReason): void;
  /** Frees the socket and everything that waits for it. */
  protected abstract destroy(): void;
}
