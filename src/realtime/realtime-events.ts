/**
 * The words that sockets and the server exchange: every event name, every payload, every error code.
 * Socket.IO's types are built from these maps, so a name that is not here does not compile.
 */
import type { Envelope } from '../common/event-envelope.js';
import type { Principal } from '../auth/principal.js';
import { MAX_PATTERNS } from '../common/schemas.js';

/** Largest frame that a client may send; a larger one ends its connection. */
export const MAX_PAYLOAD_BYTES = 64 * 1024;

/** Most topics that one connection may be subscribed to at once. */
export const MAX_TOPICS = MAX_PATTERNS;

/** How often the server pings; a connection that does not answer within {@link PING_TIMEOUT_MS} ends. */
export const HEARTBEAT_MS = 25_000;
export const PING_TIMEOUT_MS = 20_000;

/**
 * The codes of our own errors, and whether connecting again can help. Of the codes that come from
 * authentication only those are here for which it can.
 */
const RECONNECT = {
  /** A frame is not what its event takes; the message names the field. */
  invalid_input: false,
  /** The credential does not allow this topic. */
  forbidden: false,
  too_many_topics: false,
  /** There is no event of this name. */
  unknown_event: false,
  /** A mistake of ours, which is in the log. */
  internal_error: false,
  /** The token has ended while connected: come back with a new one. */
  token_expired: true,
} as const;
export type RealtimeErrorCode = keyof typeof RECONNECT;

/** Whether a client that is told this code should connect again; also for codes that are not ours. */
export const mayReconnect = (code: string): boolean =>
  Object.hasOwn(RECONNECT, code) && RECONNECT[code as RealtimeErrorCode];

/** Why something was not done. */
export interface Refusal {
  code: string;
  message: string;
}

/** What a client gets in its acknowledgement. */
export type Answer<T extends object = object> = ({ ok: true } & T) | { ok: false; error: Refusal };

/** A topic as it is written: a pattern, or a pattern for one subject only. */
export type WrittenTopic = string | { type: string; subject: string };

/** All topics of the connection, as they are after the request. */
export interface Subscribed {
  topics: WrittenTopic[];
}

export interface ClientToServer {
  subscribe(request: { topics: WrittenTopic[] }, ack: (answer: Answer<Subscribed>) => void): void;
  unsubscribe(request: { topics: WrittenTopic[] }, ack: (answer: Answer<Subscribed>) => void): void;
  ping(request: Record<string, never>, ack: (answer: Answer) => void): void;
}

export interface Connected {
  connectionId: string;
  /** The owner that the credential speaks for. */
  userId: string;
  serverTime: string;
  heartbeatMs: number;
  limits: { topics: number; maxPayloadBytes: number };
}

export interface ServerToClient {
  connected(welcome: Connected): void;
  event(envelope: Envelope): void;
  pong(answer: { serverTime: string }): void;
  error(error: Refusal & { reconnect: boolean }): void;
  /** The server is about to stop: connect again after this time, which is different for everybody. */
  draining(notice: { reconnectInMs: number }): void;
}

/** A part of the event log that somebody listens to. */
export interface Topic {
  /** The pattern of event types. */
  type: string;
  /** Undefined: events with any subject, and with none. */
  subject?: string;
}

/** What the server knows of a connection. */
export interface SocketData {
  connectionId: string;
  principal: Principal;
  /** Kept, if it was the credential, to ask again whether it is still good. */
  apiKey?: string;
  /** By {@link topicKey}. */
  topics: Map<string, Topic>;
}

/** One text per topic. A pattern cannot contain `#`, so no two topics share one. */
export const topicKey = ({ type, subject }: Topic): string =>
  subject === undefined ? type : `${type}#${subject}`;

export const written = ({ type, subject }: Topic): WrittenTopic =>
  subject === undefined ? type : { type, subject };
