/** What a client may take of the server, over every transport. Told to it when it has connected. */
import { MAX_PATTERNS } from '../shared/zod-fields.js';

/** Largest frame that a client may send; a larger one ends its connection. */
export const MAX_PAYLOAD_BYTES = 64 * 1024;

/** Most topics that one connection may be subscribed to at once. */
export const MAX_TOPICS = MAX_PATTERNS;

/**
 * Most that waits for one client in this process, beyond what the kernel holds: as much as one batch
 * can publish, which is sent in one turn of the event loop, before anybody can read. A client that
 * is further behind is cut, and can resume. Frames are shared, so many of them cost little more.
 */
export const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;

/** How long a client may take nothing of what waits for it. With the tick and the grace below 5 s. */
export const STUCK_MS = 3_000;

/** For a client to take the reason and to close; then its socket is destroyed. */
export const CLOSE_GRACE_MS = 1_000;

/** A client may send as much at once as it may in these seconds. */
const BURST_S = 2;

/** The limits that an operator sets. */
export interface ConfiguredLimits {
  maxConnections: number;
  maxConnectionsPerIp: number;
  maxConnectionsPerUser: number;
  messagesPerSecond: number;
}

/** `connected.limits`. */
export interface Limits {
  topics: number;
  maxPayloadBytes: number;
  /** Messages that a connection may send per second, in the long run. */
  messagesPerSecond: number;
  /** Messages that it may send at once after a pause. */
  messageBurst: number;
  /** Connections of one address, of one owner, and of all, to this process. */
  connectionsPerIp: number;
  connectionsPerUser: number;
  connections: number;
}

export const limitsOf = (configured: ConfiguredLimits): Limits => ({
  topics: MAX_TOPICS,
  maxPayloadBytes: MAX_PAYLOAD_BYTES,
  messagesPerSecond: configured.messagesPerSecond,
  messageBurst: configured.messagesPerSecond * BURST_S,
  connectionsPerIp: configured.maxConnectionsPerIp,
  connectionsPerUser: configured.maxConnectionsPerUser,
  connections: configured.maxConnections,
});
