import { Injectable } from '@nestjs/common';
import { type HealthCheckAttempt, HealthIndicatorService } from '@nestjs/terminus';
import { PostgresClient } from '../database/postgres.client.js';

const OLDEST_DUE = {
  name: 'oldest-due',
  text: `SELECT greatest(0, extract(epoch FROM now() - least(
           (SELECT min(due_at) FROM deliveries WHERE due_at IS NOT NULL),
           (SELECT min(due_at) FROM event_outbox))) * 1000)::bigint AS ms`,
};

/**
 * How long the oldest due delivery has been waiting. It never makes a node unready: fewer nodes would
 * only make the backlog longer.
 */
@Injectable()
export class LagIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly postgres: PostgresClient,
  ) {}

  check(): HealthCheckAttempt {
    return this.indicators.check('lag').attempt(async () => {
      const [row] = await this.postgres.run<{ ms: string | null }>(OLDEST_DUE, []);
      return { oldestDueMs: Number(row?.ms ?? 0) };
    });
  }
}
