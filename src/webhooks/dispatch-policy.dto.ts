import { z } from 'zod';
import { InvalidInputError } from '../shared/app-error.js';

/**
 * How fast, in which order and how many at a time a webhook is sent to. A webhook that has any of
 * these has a lane: one worker process at a time serves it, so that the promise holds over all of them.
 */
export interface DispatchPolicy {
  rateLimit: { max: number; perMs: number } | null;
  maxConcurrency: number | null;
  ordering: 'none' | 'fifo';
  batch: { maxEvents: number; maxWaitMs: number } | null;
}

/** Whether it takes one worker process that knows everything that is sent to it. */
export const needsExclusiveLease = ({
  rateLimit,
  maxConcurrency,
  ordering,
  batch,
}: DispatchPolicy): boolean =>
  ordering === 'fifo' || rateLimit !== null || maxConcurrency !== null || batch !== null;

const DAY_MS = 86_400_000;

const RateLimit = z
  .strictObject({
    max: z.int().min(1).max(1_000).describe('Most requests in any window, wherever it begins.'),
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
      .describe('Most events in one request, whose body has 1 MiB at most.'),
    maxWaitMs: z
      .int()
      .min(0)
      .max(60_000)
      .describe(
        'How long the oldest event may wait for others, in milliseconds; 0: whatever waits is sent ' +
          'together.',
      ),
  })
  .meta({ id: 'Batch', examples: [{ maxEvents: 50, maxWaitMs: 1_000 }] });

/** The members of a request that create or change the pace of a webhook; null: as if never set. */
export const dispatchPolicySettings = {
  rateLimit: RateLimit.nullish().describe(
    'Most requests to it in any time of this length, over all processes, retries included. What ' +
      'exceeds it waits in order. A batch is one request.',
  ),
  maxConcurrency: MaxConcurrency.nullish().describe(
    'Most requests to it at once, over all processes. Absent: DELIVERY_MAX_PER_WEBHOOK (10) in ' +
      'each worker process. Not with `ordering: fifo`, which is one at a time.',
  ),
  ordering: Ordering.nullish().describe(
    '`fifo`: one request at a time, in the order of publishing; one that fails is tried again by ' +
      'its retry policy, and nothing passes it until it succeeds or is dead. `none` (default): as ' +
      'fast as it goes, in no particular order.',
  ),
  batch: Batch.nullish().describe(
    'Several events in one request, whose body is a JSON array of them. Absent: one each.',
  ),
};

/** The same as answers show it. */
export const shownDispatchPolicy = {
  rateLimit: RateLimit.nullable().describe('Null: none.'),
  maxConcurrency: MaxConcurrency.nullable().describe('Null: the default of the installation.'),
  ordering: Ordering.describe('`fifo`: one at a time, in the order of publishing.'),
  batch: Batch.nullable().describe('Null: one event in each request.'),
};

type PaceChange = { [Setting in keyof DispatchPolicy]?: DispatchPolicy[Setting] | null };

/** The pace after a change; a setting that is absent stays. @throws InvalidInputError naming the field */
export function changedDispatchPolicy(present: DispatchPolicy, change: PaceChange): DispatchPolicy {
  const { rateLimit, maxConcurrency, ordering, batch } = change;
  const pace: DispatchPolicy = {
    rateLimit: rateLimit === undefined ? present.rateLimit : rateLimit,
    maxConcurrency: maxConcurrency === undefined ? present.maxConcurrency : maxConcurrency,
    ordering: ordering === undefined ? present.ordering : (ordering ?? 'none'),
    batch: batch === undefined ? present.batch : batch,
  };
  if (pace.ordering === 'fifo' && (pace.maxConcurrency ?? 1) > 1) {
    const field = maxConcurrency ? 'maxConcurrency' : 'ordering';
    throw InvalidInputError.at(
      field,
      'fifo sends one request at a time: it cannot be combined with maxConcurrency above 1',
    );
  }
  return pace;
}

/** What a webhook has that says nothing about its pace. */
export const DEFAULT_DISPATCH_POLICY: DispatchPolicy = {
  rateLimit: null,
  maxConcurrency: null,
  ordering: 'none',
  batch: null,
};
