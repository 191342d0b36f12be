import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { PostgresClient } from '../database/postgres.client.js';
import { within } from './within.js';

const OLDEST_DUE = {
  name: 'oldest-due',
  text: `SELECT greatest(0, extract(epoch FROM now() - least(
           (SELECT min(due_at) FROM deliveries WHERE due_at IS NOT NULL),
           (SELECT min(due_at) FROM event_outbox))) * 1000)::bigint AS ms`,
};

/**
 * How long the oldest delivery that is due has been waiting. Reported, never a reason to be unready:
 * taking processes away makes a backlog longer.
 */
@Injectable()
export class LagIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly postgres: PostgresClient,
  ) {}

  async check(timeoutMs: number): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('lag');
    try {
      const run = this.postgres.run<{ ms: string | null }>(OLDEST_DUE, []);
      const [row] = await within(timeoutMs, run);
      return indicator.up({ oldestDueMs: Number(row?.ms ?? 0) });
    } catch {
      return indicator.down({ message: 'cannot be read' });
    }
  }
}
