/** What a client may use of the server, over every transport. `connected` names these limits. */
import { MAX_PATTERNS } from '../shared/zod-fields.js';

/** Largest frame that a client may send; a larger one ends its connection. */
export const MAX_PAYLOAD_BYTES = 64 * 1024;

/** Most topics that one connection may be subscribed to at once. */
export const MAX_TOPICS = MAX_PATTERNS;

/**
 * Most bytes that wait for one client in this node, beyond what the kernel buffers. As much as one
 * batch can publish: that is sent in one turn of the event loop, before any client can read. A client
 * that is further behind is disconnected, and can resume. Frames are shared between connections, so
 * a backlog of many of them needs little more memory.
 */
export const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
