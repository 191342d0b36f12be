import type { Issue } from '../shared/field-errors.js';
import type { Priority } from '../shared/envelope.js';
import { DataSchema, type JsonSchema } from './data-schema.js';
import type { SystemEventType } from '../shared/event-pattern.js';

/** The types of the system's own events. They cannot be changed, and have no schema. */
export const BUILT_IN_TYPES: Readonly<Record<SystemEventType, string>> = {
  'client-connected': 'A client has connected.',
  'client-disconnected': 'A connection has ended, or its node has stopped.',
  'message-broadcast': 'A client has sent a message to all clients, or to a room.',
  'server-status': 'A node has started, is about to stop, or its health has changed.',
  'broadcast-stats': 'Statistics of the live connections, published periodically.',
  'webhook.disabled': 'A webhook was disabled because of the responses of its receiver.',
  'webhook.circuit_opened': 'A webhook has failed repeatedly: its deliveries are paused.',
  'webhook.circuit_closed': 'A webhook works again.',
  'delivery.dead_lettered': 'A delivery has failed for good and is kept for inspection.',
};

/** The ways in which an event is delivered. */
export const TRANSPORTS = ['webhook', 'socket'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface EventTypeSettings {
  name: string;
  description: string | null;
  /** JSON Schema of `data`. */
  schema: JsonSchema | null;
  /** Of events that are published without a priority. */
  priority: Priority;
  transports: readonly Transport[];
  /** False: events are not stored, and are sent once, to the sockets that are subscribed now. */
  durable: boolean;
  /** Only the latest event of a subject within so many milliseconds is sent; null: all are. */
  coalesceMs: number | null;
  /** Under which live clients find its events, with those of the other types of this channel. */
  channel: string | null;
}

/** An event type of the catalogue, as publishing uses it. */
export class EventType {
  /** `unusable`: it cannot be compiled, which is not tried again for each event. */
  private dataSchema: DataSchema | 'unusable' | undefined;

  constructor(readonly settings: EventTypeSettings) {}

  get name(): string {
    return this.settings.name;
  }

  /** Whether its events are delivered over this transport. */
  reaches(transport: Transport): boolean {
    return this.settings.transports.includes(transport);
  }

  /**
   * The ways in which the data of an event does not fit the schema; empty: it fits.
   * @param bytes the size of the event; a larger one may take more work to check
   */
  dataIssues(data: unknown, bytes: number): Issue[] {
    const { schema } = this.settings;
    if (schema === null) return [];
    // Compiled for the first event: compiling takes milliseconds, and there can be many types.
    this.dataSchema ??= compiled(schema);
    if (this.dataSchema === 'unusable') {
      return [{ path: [], message: 'cannot be checked: the schema of its type does not compile' }];
    }
    return this.dataSchema.issues(data, bytes);
  }
}

/** A schema is compiled before it is stored; this is for one that an earlier version stored. */
function compiled(schema: JsonSchema): DataSchema | 'unusable' {
  try {
    return new DataSchema(schema);
  } catch {
    return 'unusable';
  }
}
