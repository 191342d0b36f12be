import type { Endpoint } from '../nemesis/fault.js';
import { refusing, stumbling } from './moods.js';
import type { Behaviour } from './receiver.js';

/** A webhook whose promise holds over all processes, and how its receiver is meanwhile. */
interface PacedEndpoint extends Pick<Endpoint, 'settings'>, Partial<Pick<Endpoint, 'events'>> {
  name: string;
  behaviour: Behaviour;
}

/**
 * Each promise that one process at a time has to keep, in every run: an order with heads that fail
 * and others that die, a rate, and batches.
 */
export const pacedEndpoints = (prefix: string): PacedEndpoint[] => [
  { name: 'in-order', settings: { ordering: 'fifo' }, behaviour: stumbling(24) },
  {
    name: 'in-order-past-the-dead',
    settings: { ordering: 'fifo', retryPolicy: { schedule: [200] } },
    behaviour: refusing(24),
  },
  {
    // Above the usual load, and below what comes at once after an outage.
    name: 'at-a-rate',
    events: [`${prefix}.one`],
    settings: { rateLimit: { max: 40, perMs: 1_000 } },
    behaviour: (exchange) => exchange.answer(200),
  },
  {
    name: 'in-batches',
    settings: { batch: { maxEvents: 10, maxWaitMs: 200 } },
    behaviour: stumbling(16),
  },
];
