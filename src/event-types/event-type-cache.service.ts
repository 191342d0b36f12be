import { EventEmitter } from 'node:events';
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { TIMINGS, type Timings } from '../config/timings.js';
import { NotificationListener } from '../database/notification.listener.js';
import { TableCache } from '../database/table.cache.js';
import type { JsonSchema } from './data-schema.js';
import { EventType, type Transport } from './event-type.js';
import { type EventTypeRow, EventTypesStore } from './event-types.store.js';

/**
 * The catalogue in memory, so that publishing needs no query. A change takes effect on the node
 * that made it before its response, and on the others after a NOTIFY, at the latest after `cachePollMs`;
 * until then they use the old catalogue.
 */
@Injectable()
export class EventTypeCache
  extends EventEmitter<{ /** Types have changed; the new ones are not used yet. */ changed: [] }>
  implements OnModuleInit, OnApplicationShutdown
{
  private readonly types = new Map<string, { type: EventType; revision: string }>();
  /** The types of each channel. */
  private channels = new Map<string, string[]>();
  private readonly table: TableCache;

  constructor(
    private readonly store: EventTypesStore,
    notifications: NotificationListener,
    @Inject(TIMINGS) timings: Timings,
  ) {
    super();
    this.table = new TableCache(notifications, {
      what: 'the event types',
      channel: 'eventTypes',
      read: () => this.readChanges(),
      pollMs: timings.cachePollMs,
    });
  }

  onModuleInit(): Promise<void> {
    return this.table.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.table.stop();
  }

  /** Undefined: the type is not in the catalogue, and its events are published unchecked. */
  get(name: string): EventType | undefined {
    return this.types.get(name)?.type;
  }

  /** Whether events of this type use the transport; those of unknown types use every one. */
  reaches(name: string, transport: Transport): boolean {
    return this.get(name)?.reaches(transport) ?? true;
  }

  /** The channel of events of this type; undefined: none. */
  channelOf(name: string): string | undefined {
    return this.get(name)?.settings.channel ?? undefined;
  }

  /** The types of the channel at the moment, in no order; none: there is no such channel. */
  typesIn(channel: string): readonly string[] {
    return this.channels.get(channel) ?? [];
  }

  /** The types that admins added, in the order of their names. */
  all(): EventType[] {
    return [...this.types.values()]
      .map(({ type }) => type)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Loads every change that was committed before the call. */
  refresh(): Promise<void> {
    return this.table.refresh();
  }

  private async readChanges(): Promise<void> {
    const present = await this.store.revisions();
    const names = new Set(present.map(({ name }) => name));
    const deleted = [...this.types.keys()].filter((name) => !names.has(name));
    const changed = present.filter(
      ({ name, revision }) => this.types.get(name)?.revision !== revision,
    );
    if (deleted.length === 0 && changed.length === 0) return;
    const rows = await this.store.byNames(changed.map(({ name }) => name));
    this.emit('changed');
    for (const name of deleted) this.types.delete(name);
    for (const row of rows) this.apply(row);
    this.channels = this.typesByChannel();
  }

  private typesByChannel(): Map<string, string[]> {
    const channels = new Map<string, string[]>();
    for (const name of this.types.keys()) {
      const channel = this.channelOf(name);
      if (channel === undefined) continue;
      const types = channels.get(channel);
      if (types) types.push(name);
      else channels.set(channel, [name]);
    }
    return channels;
  }

  private apply({ schema, coalesce_ms: coalesceMs, revision, ...row }: EventTypeRow): void {
    const parsed = schema === null ? null : (JSON.parse(schema) as JsonSchema);
    const type = new EventType({ ...row, schema: parsed, coalesceMs });
    this.types.set(row.name, { type, revision });
  }
}
