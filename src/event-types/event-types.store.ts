import { Injectable } from '@nestjs/common';
import type { Priority } from '../shared/envelope.js';
import { textColumn, texts } from '../database/bulk.js';
import { PostgresClient } from '../database/postgres.client.js';
import type { Transport } from './event-type.js';

const REVISIONS = {
  name: 'event-type-revisions',
  text: `SELECT name, revision FROM event_types`,
};

const BY_NAME = {
  name: 'event-types-by-name',
  text: `SELECT name, description, schema, priority, transports, durable, coalesce_ms, revision
           FROM event_types WHERE name = ANY (${texts(1)})`,
};

export interface EventTypeRow {
  name: string;
  description: string | null;
  /** JSON text. */
  schema: string | null;
  priority: Priority;
  transports: Transport[];
  durable: boolean;
  coalesce_ms: number | null;
  revision: string;
}

/** The catalogue as its cache reads it. */
@Injectable()
export class EventTypesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** The revision of every type, which changes with it. */
  revisions(): Promise<{ name: string; revision: string }[]> {
    return this.postgres.run(REVISIONS, []);
  }

  async byNames(names: readonly string[]): Promise<EventTypeRow[]> {
    if (names.length === 0) return [];
    return this.postgres.run<EventTypeRow>(BY_NAME, [textColumn(names, (name) => name)]);
  }
}
