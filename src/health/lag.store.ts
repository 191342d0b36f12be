import { Injectable } from '@nestjs/common';
import { PostgresClient } from '../database/postgres.client.js';

const OLDEST_DUE = {
  name: 'oldest-due',
  text: `SELECT greatest(0, extract(epoch FROM now() - least(
           (SELECT min(due_at) FROM deliveries WHERE due_at IS NOT NULL),
           (SELECT min(due_at) FROM event_outbox))) * 1000)::bigint AS ms`,
};

@Injectable()
export class LagStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** How long the oldest due delivery has been waiting, in milliseconds. */
  async oldestDueMs(): Promise<number> {
    const [row] = await this.postgres.run<{ ms: string | null }>(OLDEST_DUE, []);
    return Number(row?.ms ?? 0);
  }
}
