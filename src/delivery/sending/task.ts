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
  /** Those beside the one that stands in line for them, in the order of their events. */
  followers: readonly DeliveryTask[];
}

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
  /** So many workers have died with it that it is not tried again. */
  isPoison?: boolean;
  /** Called once its outcome is durable, or has been given up. */
  onSettled?: () => void;
  /**
   * Pulled for its webhook, whose lane and circuit have let it go. Any other task asks first, and
   * is held when it may not.
   */
  admitted?: boolean;
  /** Of a delivery that was pulled for a lane: whether it may still go, and who is told how it went. */
  sendPermit?: SendPermit | undefined;
  /** Sent as a batch: this one stands in line for all. */
  batch?: TaskBatch;
  /** Set for a first attempt, whose delivery has no row yet. */
  group: EventGroup | undefined;
}

/** What a task stands for: itself, and whatever is sent with it. */
export const membersOf = (task: DeliveryTask): readonly DeliveryTask[] =>
  task.batch ? [task, ...task.batch.followers] : [task];
