import { z } from 'zod';
import { InvalidInputError } from '../shared/app-error.js';

/**
 * How fast, in which order and how many at a time events are sent to a webhook. A webhook with any of
 * these is exclusive: one node at a time serves it, so that the policy holds over all nodes.
 */
export interface DispatchPolicy {
  rateLimit: { max: number; perMs: number } | null;
  maxConcurrency: number | null;
  ordering: 'none' | 'fifo';
  batch: { maxEvents: number; maxWaitMs: number } | null;
}

/** Whether the policy can only be kept by one node that sends everything. */
export const needsExclusiveLease = ({
  rateLimit,
  maxConcurrency,
  ordering,
  batch,
}: DispatchPolicy): boolean =>
  ordering === 'fifo' || rateLimit !== null || maxConcurrency !== null || batch !== null;

/** {@link needsExclusiveLease} in SQL, for a row of `webhooks`. */
export const needsExclusiveLeaseSql = (webhook: string): string =>
  `(${webhook}.ordering = 'fifo' OR ${webhook}.rate_limit IS NOT NULL OR ${webhook}.batch IS NOT NULL` +
  ` OR ${webhook}.max_concurrency IS NOT NULL)`;

const DAY_MS = 86_400_000;

const RateLimit = z
  .strictObject({
    max: z
      .int()
      .min(1)
      .max(1_000)
      .describe('Most requests in any window, wherever it begins; 1 to 1,000.'),
    perMs: z
      .int()
      .min(100)
      .max(DAY_MS)
      .describe('Length of the window in milliseconds, from 100 to a day.'),
  })
  .meta({ id: 'RateLimit', examples: [{ max: 10, perMs: 1_000 }] });

const MaxConcurrency = z.int().min(1).max(100);

const Ordering = z.enum(['none', 'fifo'], 'must be none or fifo');

const Batch = z
  .strictObject({
    maxEvents: z
      .int()
      .min(2)
      .max(100)
      .describe('Most events in one request, 2 to 100; its body has 1 MiB at most.'),
    maxWaitMs: z
      .int()
      .min(0)
      .max(60_000)
      .describe(
        'How long the oldest event may wait for others, in milliseconds, up to 60,000; 0: events ' +
          'that are waiting already are sent together.',
      ),
  })
  .meta({ id: 'Batch', examples: [{ maxEvents: 50, maxWaitMs: 1_000 }] });

/** The fields of a request that set the dispatch policy of a webhook; null: the default. */
export const dispatchPolicySettings = {
  rateLimit: RateLimit.nullish().describe(
    'Most requests in any window of this length, over all nodes, retries included. Deliveries ' +
      'beyond it wait. A batch is one request.',
  ),
  maxConcurrency: MaxConcurrency.nullish().describe(
    'Most requests in flight, 1 to 100, over all nodes. Absent: DELIVERY_MAX_PER_WEBHOOK (10), of ' +
      'which each worker has an equal share, and at least one. Not with `ordering: fifo`, which is one at a time.',
  ),
  ordering: Ordering.nullish().describe(
    '`fifo`: one request at a time, in the order of publishing; one that fails is tried again by ' +
      'its retry policy, and no later event is sent until it succeeds or is a dead letter. `none` ' +
      '(default): in parallel, in no particular order.',
  ),
  batch: Batch.nullish().describe(
    'Several events in one request, whose body is a JSON array of them. Absent: one each.',
  ),
};

/** The same fields in a response. */
export const shownDispatchPolicy = {
  rateLimit: RateLimit.nullable().describe('Null: none.'),
  maxConcurrency: MaxConcurrency.nullable().describe('Null: the default of the installation.'),
  ordering: Ordering.describe('`fifo`: one at a time, in the order of publishing.'),
  batch: Batch.nullable().describe('Null: one event in each request.'),
};

type PolicyChange = { [Setting in keyof DispatchPolicy]?: DispatchPolicy[Setting] | null };

/** The policy after a change; a field that is absent stays. @throws InvalidInputError naming the field */
export function changedDispatchPolicy(
  present: DispatchPolicy,
  change: PolicyChange,
): DispatchPolicy {
  const { rateLimit, maxConcurrency, ordering, batch } = change;
  const policy: DispatchPolicy = {
    rateLimit: rateLimit === undefined ? present.rateLimit : rateLimit,
    maxConcurrency: maxConcurrency === undefined ? present.maxConcurrency : maxConcurrency,
    ordering: ordering === undefined ? present.ordering : (ordering ?? 'none'),
    batch: batch === undefined ? present.batch : batch,
  };
  if (policy.ordering === 'fifo' && (policy.maxConcurrency ?? 1) > 1) {
    const field = maxConcurrency ? 'maxConcurrency' : 'ordering';
    throw InvalidInputError.at(
      field,
      'fifo sends one request at a time: it cannot be combined with maxConcurrency above 1',
    );
  }
  return policy;
}

/** The policy of a webhook that sets none. */
export const DEFAULT_DISPATCH_POLICY: DispatchPolicy = {
  rateLimit: null,
  maxConcurrency: null,
  ordering: 'none',
  batch: null,
};
