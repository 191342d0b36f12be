import { deliveryId } from '../delivery-id.js';
import type { SendPermit } from '../exclusive/webhook-lease.js';
import type { FairQueueItem } from './fair-queue.js';

/** An event as its deliveries need it: one object that all of them share. */
export interface EventToDeliver {
  id: string;
  /** Null: a public event. */
  ownerId: string | null;
  type: string;
  /** The envelope's bytes, exactly as they are signed and sent to the webhooks of owners. */
  body: Buffer;
  /** 0 high, 1 normal, 2 low. */
  priority: number;
  /** When its time to live ends; undefined: never. */
  expiresAtMs: number | undefined;
}

/**
 * The first attempts of one event, claimed together under the lease of its outbox row. The row is
 * deleted with the last outcome that becomes durable.
 */
export interface EventGroup {
  eventId: string;
  eventType: string;
  /** 0 high, 1 normal, 2 low. */
  priority: number;
  token: string;
  /** Deliveries of the event that this process has claimed. */
  total: number;
  /** Of these, how many have a durable outcome. */
  recorded: number;
}

/** Deliveries that are sent in one request. */
export interface TaskBatch {
  /** `bat_…`, the same on every attempt. */
  id: string;
  /** Beside the task that is in the queue for all of them, in the order of their events. */
  followers: readonly DeliveryTask[];
}

/** How a task came to the worker: decides what it still needs and how its lease is released. */
export type TaskSource =
  /** A first attempt: its delivery has no row yet, and its lease is that of the outbox row. */
  | { kind: 'outbox'; group: EventGroup }
  /** A row that was due. */
  | { kind: 'due' }
  /** A deferred row that was pulled for its webhook: its circuit has admitted it already. */
  | {
      kind: 'deferred';
      /** Of an exclusive webhook: says whether the webhook lease still allows the request. */
      permit: SendPermit | undefined;
      /** Sent as a batch: this task is in the queue for all of them. */
      batch: TaskBatch | undefined;
      /** Attempts that the delivery had before its batch; 0 without one. */
      batchStart: number;
    };

/** One attempt to be made: one event to one webhook, under one lease. */
export interface DeliveryTask extends FairQueueItem {
  deliveryId: string;
  event: EventToDeliver;
  /** The number that the attempt will have, from 1 over all redrives. */
  attempt: number;
  /** Attempts before the present budget. */
  budgetStart: number;
  /** Fencing token: an outcome with an older one changes nothing. */
  token: string;
  /** When the lease ends, on this process's monotonic clock. */
  leaseEndsMs: number;
  /** Leases in a row that were lost with its attempt, or with one that may have been made. */
  lostLeases: number;
  /** How long it is not sent yet, because it may have crashed its workers; 0: it may be sent. */
  pauseMs: number;
  source: TaskSource;
}

/** Whether a worker was lost with it. */
export const mayCrash = ({ lostLeases }: DeliveryTask): boolean => lostLeases > 0;

/** The send permit of a task for an exclusive webhook. */
export const permitOf = ({ source }: DeliveryTask): SendPermit | undefined =>
  source.kind === 'deferred' ? source.permit : undefined;

export const batchOf = ({ source }: DeliveryTask): TaskBatch | undefined =>
  source.kind === 'deferred' ? source.batch : undefined;

/** The number of its attempt in its batch, whose own are numbered from 1. */
export const batchAttemptOf = ({ source, attempt }: DeliveryTask): number =>
  source.kind === 'deferred' ? attempt - source.batchStart : attempt;

/** The group of a first attempt. */
export const groupOf = ({ source }: DeliveryTask): EventGroup | undefined =>
  source.kind === 'outbox' ? source.group : undefined;

/** The deliveries of a task: its own, and those of its batch. */
export function membersOf(task: DeliveryTask): readonly DeliveryTask[] {
  const batch = batchOf(task);
  return batch ? [task, ...batch.followers] : [task];
}

/**
 * The first attempts of an event, one per webhook, as one group under one lease.
 * @param isRecorded deliveries to leave out, because their first outcome is written
 */
export function firstAttempts(
  event: EventToDeliver,
  webhookIds: readonly string[],
  lease: { token: string; endsMs: number },
  isRecorded?: ReadonlySet<string>,
): DeliveryTask[] {
  const group: EventGroup = {
    eventId: event.id,
    eventType: event.type,
    priority: event.priority,
    token: lease.token,
    total: 0,
    recorded: 0,
  };
  const source = { kind: 'outbox' as const, group };
  const tasks: DeliveryTask[] = [];
  for (const webhookId of webhookIds) {
    const id = deliveryId(event.id, webhookId);
    if (isRecorded?.has(id)) continue;
    tasks.push({
      deliveryId: id,
      event,
      webhookId,
      priority: event.priority,
      attempt: 1,
      budgetStart: 0,
      token: lease.token,
      leaseEndsMs: lease.endsMs,
      lostLeases: 0,
      pauseMs: 0,
      source,
    });
  }
  group.total = tasks.length;
  return tasks;
}
