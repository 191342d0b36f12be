import { Injectable } from '@nestjs/common';
import { PostgresClient } from './postgres.client.js';

const NOW = {
  name: 'clock',
  text: `SELECT extract(epoch FROM clock_timestamp())::double precision * 1000 AS ms`,
};

@Injectable()
export class ClockStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Milliseconds since 1970 on the clock of the database's server. */
  async nowMs(): Promise<number> {
    const [row] = await this.postgres.run<{ ms: number }>(NOW, []);
    return row!.ms;
  }
}
