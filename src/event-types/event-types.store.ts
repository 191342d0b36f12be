import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
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
  text: `SELECT name, description, schema, priority, transports, durable, coalesce_ms, channel, revision
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
  channel: string | null;
  revision: string;
}

const LOCK = `SELECT pg_advisory_xact_lock(hashtext('tidings_event_types'))`;

/** The name is that of a type, or of the channel of another type. */
const USES = `
  SELECT EXISTS (SELECT 1 FROM event_types WHERE name = $1) AS "isType",
         EXISTS (SELECT 1 FROM event_types WHERE channel = $1 AND name <> $2) AS "isChannel"`;

/** The catalogue as its cache reads it, and the lock under which it is written. */
@Injectable()
export class EventTypesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** The revision of every type, which changes with it. */
  revisions(): Promise<{ name: string; revision: string }[]> {
    return this.postgres.run(REVISIONS, []);
  }

  /** Until the transaction ends, no other one changes names of types and channels. */
  async lock(tx: EntityManager): Promise<void> {
    await tx.query(LOCK);
  }

  /** What a name stands for, apart from the channel of this type. */
  async usesOf(
    tx: EntityManager,
    name: string,
    ofType: string,
  ): Promise<{ isType: boolean; isChannel: boolean }> {
    const [uses] = await tx.query<{ isType: boolean; isChannel: boolean }[]>(USES, [name, ofType]);
    return uses!;
  }

  async byNames(names: readonly string[]): Promise<EventTypeRow[]> {
    if (names.length === 0) return [];
    return this.postgres.run<EventTypeRow>(BY_NAME, [textColumn(names, (name) => name)]);
  }
}
