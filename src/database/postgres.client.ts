import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { UnavailableError } from '../shared/app-error.js';
import type { Client, Pool } from './postgres.driver.js';

/** A statement that PostgreSQL parses and plans once per connection. */
export interface PreparedStatement {
  name: string;
  text: string;
}

/**
 * Named prepared statements, on connections that TypeORM's pool keeps for them. Repositories serve the
 * administration; the hot path writes whole batches, where the query builder would cost 3-10 times
 * the statement itself.
 */
@Injectable()
export class PostgresClient {
  constructor(@InjectDataSource() readonly dataSource: DataSource) {}

  async run<Row extends pg.QueryResultRow>(
    statement: PreparedStatement,
    values: unknown[],
  ): Promise<Row[]> {
    const result = await this.pool.engine.query<Row>({ ...statement, values });
    return result.rows;
  }

  /** A connection to the server itself, outside of the pools, for `LISTEN` and locks. The caller ends it. */
  createClient(): Client {
    return this.pool.createClient();
  }

  /** For how long the server has been silent about a statement that waits for it, in milliseconds. */
  get silentForMs(): number {
    return this.pool.silentForMs;
  }

  /** @throws UnavailableError once the application has closed its connections */
  private get pool(): Pool {
    // TypeORM removes the pool when it closes it.
    const { master } = this.dataSource.driver as unknown as { master: Pool | undefined };
    if (!master) throw new UnavailableError('This process is stopping.');
    return master;
  }
}
