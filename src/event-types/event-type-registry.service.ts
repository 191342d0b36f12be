import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Priority } from '../shared/priority.js';
import { texts } from '../database/bulk.js';
import { NotificationListener } from '../database/notification.listener.js';
import { PostgresClient } from '../database/postgres.client.js';
import { TableCache } from '../database/table.cache.js';
import type { JsonSchema } from './data-schema.js';
import { EventType, type Transport } from './event-type.js';

/** Bounds the delay when a notification is lost. */
const POLL_MS = 5_000;

const REVISIONS = {
  name: 'event-type-revisions',
  text: `SELECT name, revision FROM event_types`,
};

const BY_NAME = {
  name: 'event-types-by-name',
  text: `SELECT name, description, schema, priority, transports, durable, coalesce_ms, revision
           FROM event_types WHERE name = ANY (${texts(1)})`,
};

interface EventTypeRow {
  name: string;
  description: string | null;
  schema: string | null;
  priority: Priority;
  transports: Transport[];
  durable: boolean;
  coalesce_ms: number | null;
  revision: string;
}

/**
 * The catalogue in memory, so that publishing needs no query. A change takes effect in the process
 * that made it before the answer, and in the others after a NOTIFY, at the latest after
 * {@link POLL_MS}; until then they use the old catalogue.
 */
@Injectable()
export class EventTypeRegistry implements OnModuleInit, OnApplicationShutdown {
  private readonly types = new Map<string, { type: EventType; revision: string }>();
  private readonly changeHandlers: (() => void)[] = [];
  private readonly follower: TableCache;

  constructor(
    private readonly postgres: PostgresClient,
    notifications: NotificationListener,
  ) {
    this.follower = new TableCache(notifications, {
      what: 'the event types',
      channel: 'eventTypes',
      read: () => this.readChanges(),
      pollMs: POLL_MS,
    });
  }

  onModuleInit(): Promise<void> {
    return this.follower.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.follower.stop();
  }

  /** Undefined: the type is not in the catalogue, and its events are published unchecked. */
  get(name: string): EventType | undefined {
    return this.types.get(name)?.type;
  }

  /** Whether events of this type use the transport; those of unknown types use every one. */
  reaches(name: string, transport: Transport): boolean {
    return this.get(name)?.reaches(transport) ?? true;
  }

  /** The types that admins added, in the order of their names. */
  all(): EventType[] {
    return [...this.types.values()]
      .map(({ type }) => type)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Calls the handler when types have changed, before the new ones are used. */
  onChange(handler: () => void): void {
    this.changeHandlers.push(handler);
  }

  /** Loads every change that was committed before the call. */
  refresh(): Promise<void> {
    return this.follower.refresh();
  }

  private async readChanges(): Promise<void> {
    const present = await this.postgres.run<{ name: string; revision: string }>(REVISIONS, []);
    const names = new Set(present.map(({ name }) => name));
    const gone = [...this.types.keys()].filter((name) => !names.has(name));
    const changed = present.filter(
      ({ name, revision }) => this.types.get(name)?.revision !== revision,
    );
    if (gone.length === 0 && changed.length === 0) return;
    const rows =
      changed.length === 0
        ? []
        : await this.postgres.run<EventTypeRow>(BY_NAME, [
            changed.map(({ name }) => name).join('\u001e'),
          ]);
    for (const handler of this.changeHandlers) handler();
    for (const name of gone) this.types.delete(name);
    for (const row of rows) this.apply(row);
  }

  private apply({ schema, coalesce_ms: coalesceMs, revision, ...row }: EventTypeRow): void {
    const parsed = schema === null ? null : (JSON.parse(schema) as JsonSchema);
    const type = new EventType({ ...row, schema: parsed, coalesceMs });
    this.types.set(row.name, { type, revision });
  }
}
