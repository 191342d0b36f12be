import type { Endpoint } from '../nemesis/fault.js';
import { failingForEver, failingOnce } from './behaviours.js';
import type { Behaviour } from './receiver.js';

/** A webhook with a dispatch policy over all processes, and the behaviour of its receiver. */
interface PolicyEndpoint extends Pick<Endpoint, 'settings'>, Partial<Pick<Endpoint, 'events'>> {
  name: string;
  behaviour: Behaviour;
}

/**
 * One endpoint per dispatch policy, in every run: an order with heads that fail and others that become
 * dead letters, a rate, and batches.
 */
export const policyEndpoints = (prefix: string): PolicyEndpoint[] => [
  { name: 'in-order', settings: { ordering: 'fifo' }, behaviour: failingOnce(24) },
  {
    name: 'in-order-past-the-dead',
    settings: { ordering: 'fifo', retryPolicy: { schedule: [200] } },
    behaviour: failingForEver(24),
  },
  {
    // Above the usual load, and below the peak after an outage.
    name: 'at-a-rate',
    events: [`${prefix}.one`],
    settings: { rateLimit: { max: 40, perMs: 1_000 } },
    behaviour: (exchange) => exchange.answer(200),
  },
  {
    name: 'in-batches',
    settings: { batch: { maxEvents: 10, maxWaitMs: 200 } },
    behaviour: failingOnce(16),
  },
];
