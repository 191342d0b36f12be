import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { UnavailableError } from '../shared/app-error.js';

/** A statement that PostgreSQL parses and plans once per connection. */
export interface PreparedStatement {
  name: string;
  text: string;
}

/**
 * Named prepared statements on the connections of TypeORM's pool. Repositories serve the
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
    const result = await this.pool.query<Row>({ ...statement, values });
    return result.rows;
  }

  /** A connection outside of the pool, for `LISTEN`. The caller ends it. */
  createClient(): pg.Client {
    return new (this.driver.postgres as typeof pg).Client(this.pool.options);
  }

  private get driver(): { master: pg.Pool | undefined; postgres: unknown } {
    return this.dataSource.driver as unknown as { master: pg.Pool | undefined; postgres: unknown };
  }

  /** @throws UnavailableError once the application has closed its connections */
  private get pool(): pg.Pool {
    // TypeORM removes the pool when it closes it.
    const { master } = this.driver;
    if (!master) throw new UnavailableError('This process is stopping.');
    return master;
  }
}
