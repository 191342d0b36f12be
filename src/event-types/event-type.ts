/** What the catalogue says about a type of events, as publishing needs it. */
import type { Issue } from '../shared/field-errors.js';
import type { Priority } from '../shared/priority.js';
import { DataSchema, type JsonSchema } from './data-schema.js';

/** What an event can go to. */
export const TRANSPORTS = ['webhook', 'socket'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface EventTypeSettings {
  name: string;
  description: string | null;
  /** JSON Schema of `data`. */
  schema: JsonSchema | null;
  /** Of events that name none themselves. */
  priority: Priority;
  transports: readonly Transport[];
  /** False: not in the log; to the sockets that listen now, once. */
  durable: boolean;
  /** Of one subject only the latest event of so many milliseconds is sent; null: all are. */
  coalesceMs: number | null;
}

/** A type of the catalogue in memory. */
export class EventType {
  private dataSchema: DataSchema | undefined;

  constructor(readonly settings: EventTypeSettings) {}

  get name(): string {
    return this.settings.name;
  }

  /** Whether its events go there. */
  reaches(transport: Transport): boolean {
    return this.settings.transports.includes(transport);
  }

  /**
   * What is wrong with the data of an event, by its place in it; none: nothing.
   * @param bytes how large the event is; more work is done for a larger one
   */
  dataIssues(data: unknown, bytes: number): Issue[] {
    const { schema } = this.settings;
    if (schema === null) return [];
    // Compiled for the first event: that takes milliseconds, and a catalogue can hold many.
    this.dataSchema ??= new DataSchema(schema);
    return this.dataSchema.issues(data, bytes);
  }
}
