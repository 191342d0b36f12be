import type { RecoveryBudget } from '../checker/state-invariants.js';
import type { Producer } from '../site/producer.js';
import type { Receivers } from '../site/receiver.js';
import { LEASE_MS, type Site } from '../site/site.js';
import type { Random } from './random.js';

/** What a fault may use: the site under load, and an event of its own to strike at. */
export interface Scene {
  site: Site;
  random: Random;
  receivers: Receivers;
  /** Publishes what the fault strikes at; the load has others. */
  publisher: Producer;
  /** Nothing else is broken meanwhile, so that what a fault sees at a step is its own doing. */
  isAlone: boolean;
  /** Events of this kind go to endpoints that listen for it, and to nobody else. */
  prefix: string;
}

/** What a webhook may have beside its address and its events, as far as the suite uses it. */
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
  /** What else the API is told. */
  settings: Settings;
  isHealthy: boolean;
}

/** Something that breaks, and is whole again when `inflict` settles. */
export interface Fault {
  name: string;
  budget: RecoveryBudget;
  /** Faults of the same target are not inflicted side by side. */
  target: 'processes' | 'redis' | 'postgres' | 'receivers';
  /** What has to be registered beside the usual webhooks before it is inflicted, by name. */
  endpoints?(prefix: string): Record<string, Partial<Endpoint>>;
  /** Part of the short form. */
  isShort?: boolean;
  inflict(scene: Scene): Promise<void>;
}

/** Nothing has to wait for a lease. */
export const PROMPT: RecoveryBudget = { firstSuccessMs: 8_000, drainedMs: 15_000 };

/** What a dead process held has to wait for its lease, and on a busy machine some more. */
export const AFTER_LEASE: RecoveryBudget = { firstSuccessMs: 8_000, drainedMs: LEASE_MS + 15_000 };
