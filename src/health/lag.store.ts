import { Injectable } from '@nestjs/common';
import { PostgresClient } from '../database/postgres.client.js';

const OLDEST_DUE = {
  name: 'oldest-due',
  text: `SELECT greatest(0, extract(epoch FROM now() - least(
           (SELECT min(due_at) FROM deliveries WHERE due_at IS NOT NULL),
           (SELECT min(due_at) FROM event_outbox))) * 1000)::bigint AS ms`,
};

const PING = { name: 'ping', text: 'SELECT 1' };

@Injectable()
export class LagStore {
  constructor(private readonly postgres: PostgresClient) {}

  /**
   * Settles when PostgreSQL answers on a connection that events are accepted and delivered with.
   * @throws also if it has been silent for so long about a statement on one of these connections
   */
  async ping(silentMs: number): Promise<void> {
    await this.postgres.run(PING, []);
    if (this.postgres.silentForMs > silentMs) throw new Error('does not answer a statement');
  }

  /** How long the oldest due delivery has been waiting, in milliseconds. */
  async oldestDueMs(): Promise<number> {
    const [row] = await this.postgres.run<{ ms: string | null }>(OLDEST_DUE, []);
    return Number(row?.ms ?? 0);
  }
}
