/**
 * The words that clients and the server exchange: every name, every payload. The transports carry
 * the same ones; Socket.IO's types are built from these maps, so a name that is not here does not
 * compile.
 */
import type { Envelope } from '../shared/envelope.js';
import type { Limits } from './limits.js';
import type { WrittenTopic } from './subscriptions/topic.js';

/** The codes of our own refusals; those of authentication come with its errors. */
export type RealtimeErrorCode =
  /** A frame is not what its event takes; the message names the field. */
  | 'invalid_input'
  /** The credential does not allow this topic, or belongs to somebody else. */
  | 'forbidden'
  | 'too_many_topics'
  /** There is no event of this name. */
  | 'unknown_event'
  /** Too many messages; `retryAfterMs` says when the next one is taken. */
  | 'rate_limited'
  /** A mistake of ours, which is in the log. */
  | 'internal_error';

/** Why something was not done. */
export interface Refusal {
  code: string;
  message: string;
  /** Of `rate_limited`: when the next message is taken. */
  retryAfterMs?: number;
  /** Of `rate_limited`: messages that are left of the budget. */
  remaining?: number;
}

/** What a client gets as acknowledgement. */
export type Answer<T extends object = object> = ({ ok: true } & T) | { ok: false; error: Refusal };

/** All topics of the connection, as they are after the request. */
export interface Subscribed {
  topics: WrittenTopic[];
}

/** What came of a wish to resume. */
export interface Recovery {
  /** False: there are missed events that the history does not hold any more. */
  recovered: boolean;
  /** How many missed events were sent before the live ones. */
  replayed: number;
}

export interface Refreshed extends Subscribed {
  /** Topics that the new token may not hear, and that are left. */
  dropped: WrittenTopic[];
  /** When the new token ends. */
  expiresAt: string;
}

/** Who has said something; the operator speaks without a connection. */
export interface Sender {
  userId: string;
  connectionId?: string | undefined;
}

/** How a message found its way: to all, to one, or to a room. */
export const MESSAGE_KINDS = ['broadcast', 'private', 'chat'] as const;

export interface Message {
  kind: (typeof MESSAGE_KINDS)[number];
  from: Sender;
  /** Of `chat`; absent: all connections of the owner. */
  room?: string | undefined;
  /** Any JSON. */
  message: unknown;
  timestamp: string;
}

/** To how many connections of this process it went; those of others are not counted. */
export interface Delivered {
  delivered: number;
}

/** Somebody who is on a topic. */
export interface Member {
  connectionId: string;
  userId: string;
  since: string;
}

export interface Present {
  topic: WrittenTopic;
  /** The oldest first; `truncated`: there are more. */
  members: Member[];
  count: number;
  truncated: boolean;
  /** False: some process did not say who is there. */
  complete: boolean;
}

/** Who has come and gone since the last time. */
export interface PresenceChange {
  topic: WrittenTopic;
  joined: Member[];
  left: Member[];
  /** There are more than could be named. */
  truncated: boolean;
}

interface SubscribeRequest {
  topics: WrittenTopic[];
  /** The last event that the client has seen. */
  after?: string;
}

export interface ClientToServer {
  subscribe(
    request: SubscribeRequest,
    ack: (answer: Answer<Subscribed & Partial<Recovery>>) => void,
  ): void;
  unsubscribe(request: { topics: WrittenTopic[] }, ack: (answer: Answer<Subscribed>) => void): void;
  ping(request: Record<string, never>, ack: (answer: Answer) => void): void;
  broadcast(request: { message: unknown }, ack: (answer: Answer<Delivered>) => void): void;
  private(
    request: { to: string; message: unknown },
    ack: (answer: Answer<Delivered>) => void,
  ): void;
  chat(
    request: { room?: string; message: unknown },
    ack: (answer: Answer<Delivered>) => void,
  ): void;
  presence(
    request: { topic: WrittenTopic; watch?: boolean },
    ack: (answer: Answer<Present>) => void,
  ): void;
  'auth:refresh'(request: { token: string }, ack: (answer: Answer<Refreshed>) => void): void;
}

export interface Connected {
  connectionId: string;
  /** The owner that the credential speaks for. */
  userId: string;
  serverTime: string;
  /** How often the server shows that it is there. */
  heartbeatMs: number;
  limits: Limits;
}

/** What the server says by itself, besides events. */
export interface Notices {
  connected: Connected;
  pong: { serverTime: string };
  error: Refusal & { reconnect: boolean };
  /** The server is about to stop: connect again after this time, which is different for everybody. */
  draining: { reconnectInMs: number };
  message: Message;
  /** For those who watch a topic. */
  presence: PresenceChange;
  /** Event streams only, which have no acknowledgements: what came of `Last-Event-ID`. */
  resumed: Recovery;
}

export type ServerToClient = {
  [Name in keyof Notices]: (payload: Notices[Name]) => void;
} & { event: (envelope: Envelope) => void };
