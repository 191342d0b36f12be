import { DataSource } from 'typeorm';
import { newId } from '../../src/shared/ids.js';
import { dataSourceOptions } from '../../src/database/data-source.options.js';
import { migrateUnderLock } from '../../src/database/migrate.store.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { createDatabase, type TestDatabase } from './stores.js';

export interface Row {
  [column: string]: unknown;
}

/** The tables of the engine in a database of their own, for tests of the stores alone. */
export class DeliveryRows {
  private constructor(
    private readonly database: TestDatabase,
    readonly dataSource: DataSource,
    readonly postgres: PostgresClient,
  ) {}

  static async create(): Promise<DeliveryRows> {
    const database = await createDatabase();
    const options = dataSourceOptions({ url: database.url });
    const dataSource = await new DataSource(options).initialize();
    await migrateUnderLock(dataSource);
    return new DeliveryRows(database, dataSource, new PostgresClient(dataSource));
  }

  /** Runs any statement; returns its rows. */
  async query<T = Row>(text: string, values: unknown[] = []): Promise<T[]> {
    return this.dataSource.query<T[]>(text, values);
  }

  /** An event that is pending for these webhooks, due in so many milliseconds, perhaps leased. */
  async addPending(
    webhookIds: readonly string[] | null,
    { token = null, dueInMs = 0 }: { token?: string | null; dueInMs?: number } = {},
  ): Promise<string> {
    const id = newId('evt');
    await this.query(
      `INSERT INTO events (id, type, body, priority) VALUES ($1, 'stored.event', $2, 1)`,
      [id, `{"id":"${id}"}`],
    );
    await this.query(`INSERT INTO event_outbox VALUES ($1, $2, now() + $3 * interval '1 ms', $4)`, [
      id,
      webhookIds,
      dueInMs,
      token,
    ]);
    return id;
  }

  /** Terminates every connection of the pool, as a restart of the server does. */
  async cut(): Promise<void> {
    await this.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
  }

  async drop(): Promise<void> {
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
    await this.database.drop();
  }
}
