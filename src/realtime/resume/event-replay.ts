import type { Connection } from '../connections/realtime.connection.js';
import type { Recovery } from '../protocol.js';
import type { Topic } from '../topic.js';

/** What a client asks for that comes back. */
export interface ReplayRequest {
  connection: Connection;
  /** The last event that the client has seen. */
  after: string;
  /** What it missed of these; the connection may hear them. */
  topics: readonly Topic[];
  /** Subscribes to them: from then on live events are sent. To be called once. */
  join(): void;
}

/**
 * Where missed events come from: sends them in order, and lets the connection join the live ones
 * so that there is no gap between the two.
 */
export abstract class EventReplay {
  abstract replay(request: ReplayRequest): Recovery | Promise<Recovery>;
}
