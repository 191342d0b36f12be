import { z } from 'zod';
import { DELIVERY_STATUSES } from '../../shared/delivery-status.js';
import { timestamp, timestampInput } from '../../shared/zod-fields.js';
import type { CircuitState } from '../circuit/circuits.service.js';

/** Most deliveries that are counted: it bounds the cost, and the newest show the present state. */
export const MAX_COUNTED = 10_000;

export const WebhookStatsQuery = z.strictObject({
  since: timestampInput
    .optional()
    .describe('Only events accepted at this time or later; absent: the last 24 hours.'),
});
export type WebhookStatsQuery = z.infer<typeof WebhookStatsQuery>;

const count = z.int().min(0);

const CircuitResponse = z
  .object({
    state: z
      .enum(['closed', 'open', 'half_open'])
      .describe(
        '`closed`: deliveries are sent; `open`: they are deferred and use up no attempt; ' +
          '`half_open`: one request probes whether the receiver works again.',
      ),
    failures: count.describe('Failed attempts in a row, over all nodes.'),
    since: timestamp.nullable().describe('When this state began; null: it was never open.'),
    retryAt: timestamp
      .nullable()
      .describe('When the next probe may be sent at the earliest; null while it is closed.'),
    lastError: z.string().nullable().describe('Error class of the last failure in a row.'),
    throttledUntil: timestamp
      .nullable()
      .describe(
        'Until when nothing is sent because the receiver answered with 429, or with 503 and ' +
          '`Retry-After`: it says its rate, and deliveries wait (`throttled`). Null: it takes requests.',
      ),
  })
  .meta({ id: 'WebhookCircuit' });

const exampleStats = {
  since: '2026-01-30T12:00:00.000Z',
  deliveries: 1204,
  isTruncated: false,
  attempts: 1250,
  successRate: 0.9983,
  latencyMs: { p50: 41, p95: 180, p99: 612 },
  byStatus: { pending: 0, delivering: 1, retrying: 1, success: 1200, dead_letter: 2, canceled: 0 },
  byError: { timeout: 3 },
  circuit: {
    state: 'closed',
    failures: 0,
    since: null,
    retryAt: null,
    lastError: null,
    throttledUntil: null,
  },
};

export const WebhookStats = z
  .object({
    since: timestamp.describe('Where the counted time begins.'),
    deliveries: count.describe(`Deliveries counted: the newest, ${MAX_COUNTED} at most.`),
    isTruncated: z.boolean().describe('Whether there are more, which are not counted.'),
    attempts: count.describe('Attempts that were made for them, over all redrives.'),
    successRate: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe('Succeeded, of those that succeeded or were given up; null: none has ended yet.'),
    latencyMs: z
      .object({
        p50: z.number().describe('Half of the attempts took no longer.'),
        p95: z.number().describe('19 of 20 took no longer.'),
        p99: z.number().describe('99 of 100 took no longer.'),
      })
      .nullable()
      .describe('How long the last attempts of the deliveries took; null: there were none.'),
    byStatus: z.record(z.enum(DELIVERY_STATUSES), count).describe('Deliveries in each state.'),
    byError: z
      .record(z.string(), count)
      .describe('Deliveries whose last error is of this class, or that ended for this reason.'),
    circuit: CircuitResponse,
  })
  .meta({ id: 'WebhookStats', examples: [exampleStats] });
export type WebhookStats = z.infer<typeof WebhookStats>;

export const toCircuitResponse = ({
  since,
  retryAt,
  throttledUntil,
  ...circuit
}: CircuitState): WebhookStats['circuit'] => ({
  ...circuit,
  since: since?.toISOString() ?? null,
  retryAt: retryAt?.toISOString() ?? null,
  throttledUntil: throttledUntil?.toISOString() ?? null,
});
