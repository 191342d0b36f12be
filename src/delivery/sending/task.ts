import type { SendPermit } from '../exclusive/webhook-lease.js';
import type { FairQueueItem } from './fair-queue.js';

/** An event as its deliveries need it; one object shared by all of them. */
export interface EventToDeliver {
  id: string;
  type: string;
  /** The envelope's bytes, exactly as they are signed and sent. */
  body: Buffer;
  /** 0 high, 1 normal, 2 low. */
  priority: number;
  /** When its time to live ends; undefined: never. */
  expiresAtMs: number | undefined;
}

/**
 * The first attempts of one event, which this process took together under one lease of its outbox
 * row. The row goes with the last outcome that becomes durable.
 */
export interface EventGroup {
  eventId: string;
  eventType: string;
  /** 0 high, 1 normal, 2 low. */
  priority: number;
  token: string;
  /** Deliveries of the event that this process took. */
  total: number;
  /** Of these, how many have a durable outcome. */
  recorded: number;
}

/** Deliveries that are sent in one request. */
export interface TaskBatch {
  /** `bat_…`, the same on every attempt. */
  id: string;
  /** Those beside the task that stands for all of them in the queue, in the order of their events. */
  followers: readonly DeliveryTask[];
}

/** How a task came to the worker, which decides what it still needs and who ends its lease. */
export type TaskSource =
  /** A first attempt, whose delivery has no row yet: its lease is that of the outbox row. */
  | { kind: 'outbox'; group: EventGroup }
  /** A row whose time has come. */
  | { kind: 'due' }
  /** A deferred row, pulled for its webhook: the circuit has admitted it already. */
  | {
      kind: 'deferred';
      /** Of an exclusive webhook: whether its lease still allows the request. */
      permit: SendPermit | undefined;
      /** Sent as a batch: this task stands in the queue for all of them. */
      batch: TaskBatch | undefined;
    };

/** One attempt that is to be made: one event, one webhook, under one lease. */
export interface DeliveryTask extends FairQueueItem {
  deliveryId: string;
  event: EventToDeliver;
  /** The number that the attempt will have, from 1 over all redrives. */
  attempt: number;
  /** Attempts before the present budget. */
  budgetStart: number;
  /** Fencing token: an outcome that names an older one changes nothing. */
  token: string;
  /** When the lease ends, on this process's monotonic clock. */
  leaseEndsMs: number;
  /** So many leases were lost with it that it is not tried again. */
  isPoison: boolean;
  source: TaskSource;
}

/** Of a task for an exclusive webhook. */
export const permitOf = ({ source }: DeliveryTask): SendPermit | undefined =>
  source.kind === 'deferred' ? source.permit : undefined;

export const batchOf = ({ source }: DeliveryTask): TaskBatch | undefined =>
  source.kind === 'deferred' ? source.batch : undefined;

/** Of a first attempt. */
export const groupOf = ({ source }: DeliveryTask): EventGroup | undefined =>
  source.kind === 'outbox' ? source.group : undefined;

/** The deliveries of a task: its own, and those of its batch. */
export function membersOf(task: DeliveryTask): readonly DeliveryTask[] {
  const batch = batchOf(task);
  return batch ? [task, ...batch.followers] : [task];
}
