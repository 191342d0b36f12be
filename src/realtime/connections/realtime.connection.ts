import { performance } from 'node:perf_hooks';
import { ownerScope, type Principal } from '../../auth/principal.js';
import { CLOSE_REASONS, type CloseReason, mayReconnect } from '../close-codes.js';
import type { Encoding, Encodings, Frame, FrameBatch } from '../fanout/frame.js';
import { MAX_BACKLOG_BYTES } from '../limits.js';
import type { Limits, Notices } from '../protocol.js';
import type { Subscription } from '../topic.js';
import type { ConnectionOptions } from './connection-options.js';
import type { MessageBudget } from './rate-limit.js';

/** A client that was authenticated and counted: it may open one connection. */
export interface Admission {
  /** `con_…` */
  connectionId: string;
  principal: Principal;
  /** Where the client connects from, as far as proxies are trusted. */
  address: string;
  /** The name that the client gave itself. */
  clientId?: string | undefined;
  /** Another connection of the tenant has the client id. */
  isDuplicate?: boolean;
  /** Set if it takes its client id over from older connections of its user. */
  takeover?: { /** Those that had it before, as far as is known. */ seen: readonly string[] };
  /** Absent: those of a client that has chosen nothing. */
  options?: ConnectionOptions | undefined;
  /** Set if it was the credential: it is checked again while the connection lasts. */
  apiKey?: string | undefined;
  limits: Limits;
  budget: MessageBudget;
  liveEvents: LiveEvents;
  /** For the client to read the reason of a close; then its socket is destroyed. */
  closeGraceMs: number;
  /** Uncounts the connection; may be called again. */
  release(): void;
}

/** The source of live events. Some may wait for a moment, to be sent together with the next ones. */
export interface LiveEvents {
  /** Sends the waiting events to this connection now. */
  catchUp(connection: Connection): void;
}

/** Keeps live events back while the connection is sent the events that it missed. */
export interface LiveEventGate {
  /** Bytes that are kept back. */
  readonly waitingBytes: number;
  /** Whether the event is kept back, or was sent already. */
  stops(eventId: string, frame: Frame): boolean;
}

/** How a client is connected. */
export const TRANSPORTS = ['socket.io', 'websocket', 'event-stream'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/**
 * A connection of a client, over any transport. What it receives and may ask for is decided elsewhere;
 * a transport only knows how to write to it and how to close it.
 */
export abstract class Connection {
  readonly id: string;
  readonly address: string;
  readonly clientId: string | undefined;
  /** Of the {@link Admission}. */
  readonly isDuplicate: boolean;
  readonly takeover: Admission['takeover'];
  /** Whether it is sent its own broadcasts, chats and texts. */
  readonly echo: boolean;
  /** Follows from the principal. */
  encoding: Encoding;
  apiKey: string | undefined;
  /** By `topicKey`. Only `Subscriptions` changes them. */
  readonly topics = new Map<string, Subscription>();
  readonly limits: Limits;
  readonly budget: MessageBudget;
  /** Milliseconds of the clock that is never set. */
  readonly openedAtMs = performance.now();
  /** Set while the connection is sent the events that it missed, and shortly after. */
  gate: LiveEventGate | undefined;
  /** Bytes that were given to the transport since it was opened. */
  sentBytes = 0;
  /** Events, notices and requests since it was opened. */
  sentMessages = 0;
  receivedMessages = 0;
  /** Number of the last live event of this node that it was sent, or that is not for it. */
  position = 0;

  /** Why the server has ended it; undefined: it has not, or the client closed first. */
  closeReason: CloseReason | undefined;

  abstract readonly transport: Transport;
  /** How often the server sends a heartbeat. */
  abstract readonly heartbeatMs: number;
  /** Bytes that wait in this process because the client does not read them. */
  abstract readonly backlogBytes: number;

  private holder: Principal;
  private state: 'open' | 'closing' | 'ended' = 'open';
  private readonly liveEvents: LiveEvents;
  private readonly closeGraceMs: number;
  private readonly endListeners: (() => void)[] = [];

  constructor(
    admission: Admission,
    private readonly encodings: Encodings,
  ) {
    this.id = admission.connectionId;
    this.address = admission.address;
    this.clientId = admission.clientId;
    this.isDuplicate = admission.isDuplicate === true;
    this.takeover = admission.takeover;
    this.echo = admission.options?.echo ?? true;
    this.holder = admission.principal;
    this.encoding = this.encodingFor(admission.principal);
    this.apiKey = admission.apiKey;
    this.limits = admission.limits;
    this.budget = admission.budget;
    this.liveEvents = admission.liveEvents;
    this.closeGraceMs = admission.closeGraceMs;
    this.whenEnded(() => admission.release());
  }

  get principal(): Principal {
    return this.holder;
  }

  /** Changes with `auth:refresh`. */
  set principal(principal: Principal) {
    this.holder = principal;
    this.encoding = this.encodingFor(principal);
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  /** Sends the live events that wait. Called before anything that has to come after them. */
  catchUp(): void {
    this.liveEvents.catchUp(this);
  }

  /** Sends live events, now or after the missed events that come before them. */
  deliver(batch: FrameBatch): void {
    const { gate, encoding } = this;
    const { events } = batch;
    const passed = gate
      ? events.filter((event) => !gate.stops(event.id, event.frame(encoding)))
      : events;
    const frames =
      passed.length === events.length
        ? batch.framesFor(encoding)
        : passed.map((event) => event.frame(encoding));
    this.sentMessages += passed.length;
    for (const frame of frames) this.put(frame);
    if (gate && gate.waitingBytes > MAX_BACKLOG_BYTES) this.close('slow_consumer');
  }

  /** Sends a frame, after the live events that wait. */
  send(frame: Frame): void {
    this.catchUp();
    this.sentMessages++;
    this.put(frame);
  }

  /** Sends missed events, which come before the live ones. */
  sendAll(batch: FrameBatch): void {
    this.catchUp();
    this.sentMessages += batch.events.length;
    for (const frame of batch.framesFor(this.encoding)) this.put(frame);
  }

  /** Sends a notice to this connection only. */
  notify<Name extends keyof Notices>(name: Name, payload: Notices[Name]): void {
    this.send(this.encoding.notice(name, payload));
  }

  /** Says why, and closes. A client that does not close its side is disconnected after a moment. */
  close(reason: CloseReason, reconnectInMs = 0): void {
    // May itself end the connection, as a slow consumer.
    this.catchUp();
    if (this.state !== 'open') return;
    const { message } = CLOSE_REASONS[reason];
    // Behind a full backlog the client would not read it, and the backlog would grow.
    if (this.backlogBytes <= MAX_BACKLOG_BYTES) {
      if (reason === 'draining') this.notify('draining', { reconnectInMs });
      else this.notify('error', { code: reason, message, reconnect: mayReconnect(reason) });
    }
    this.state = 'closing';
    this.closeReason = reason;
    const cut = setTimeout(() => this.cut(), this.closeGraceMs).unref();
    this.whenEnded(() => clearTimeout(cut));
    this.end(reason);
  }

  /** Ends it now, without a notice. */
  cut(): void {
    this.destroy();
    this.ended();
  }

  /** Calls back once, when the connection has ended. */
  whenEnded(listener: () => void): void {
    this.endListeners.push(listener);
  }

  /** Called by the transport when the connection has ended for any reason. */
  protected ended(): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    for (const listener of this.endListeners.splice(0)) listener();
  }

  private encodingFor(principal: Principal): Encoding {
    const isOwn = ownerScope(principal, 'events:receive') !== undefined;
    return isOwn ? this.encodings.own : this.encodings.all;
  }

  /** Writes it, unless the connection is closing. One that is too far behind is closed instead. */
  private put(frame: Frame): void {
    if (this.state !== 'open') return;
    if (this.backlogBytes > MAX_BACKLOG_BYTES) return this.close('slow_consumer');
    this.sentBytes += frame.bytes.length;
    this.write(frame);
  }

  protected abstract write(frame: Frame): void;
  /** Closes in the way of the transport, after what was written. */
  protected abstract end(reason: CloseReason): void;
  /** Destroys the socket, with everything that waits for it. */
  protected abstract destroy(): void;
}
