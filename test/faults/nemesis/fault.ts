import type { RecoveryBudget } from '../checker/state-invariants.js';
import type { Producer } from '../site/producer.js';
import type { Receivers } from '../site/receiver.js';
import { LEASE_MS, type Site } from '../site/site.js';
import type { Random } from './random.js';

/** What a fault may use: the site under load, and a producer of its own. */
export interface Scene {
  site: Site;
  random: Random;
  receivers: Receivers;
  /** Publishes the events of the fault; the load has other producers. */
  publisher: Producer;
  /** Whether no other fault is active, so that every effect is this fault's own. */
  isAlone: boolean;
  /** Prefix of the event types of this run, which only its own endpoints match. */
  prefix: string;
}

/** The settings of a webhook that the suite uses. */
export interface Settings {
  timeoutMs?: number;
  retryPolicy?: { schedule: number[] };
  ordering?: 'fifo';
  rateLimit?: { max: number; perMs: number };
  batch?: { maxEvents: number; maxWaitMs: number };
}

/** A webhook of a run. */
export interface Endpoint {
  ownerId: string | null;
  events: string[];
  /** Further settings in the API. */
  settings: Settings;
  isHealthy: boolean;
}

/** A fault, which is repaired when `inflict` settles. */
export interface Fault {
  name: string;
  budget: RecoveryBudget;
  /** Faults of the same target are not combined. */
  target: 'processes' | 'redis' | 'postgres' | 'receivers';
  /** Additional webhooks that the fault needs, by name. */
  endpoints?(prefix: string): Record<string, Partial<Endpoint>>;
  /** Part of the short form. */
  isShort?: boolean;
  inflict(scene: Scene): Promise<void>;
}

/** Recovery without waiting for a lease. */
export const PROMPT: RecoveryBudget = { firstSuccessMs: 8_000, drainedMs: 15_000 };

/** Recovery after the leases of a dead process have ended, with time for a busy machine. */
export const AFTER_LEASE: RecoveryBudget = { firstSuccessMs: 8_000, drainedMs: LEASE_MS + 15_000 };
