import type { DeliveryStatus } from '../../shared/delivery-status.js';
import type { DeliveryTask } from './task.js';

/** The request that was made, for the history. */
export interface AttemptRecord {
  startedAtMs: number;
  durationMs: number;
  statusCode: number | null;
  error: string | null;
  responseBody: string | null;
}

/** How a task ended, as it is written: the delivery's new state, and the attempt if one was made. */
export interface Outcome {
  task: DeliveryTask;
  status: DeliveryStatus;
  /** When to look again, counted from now on the database's clock; null: not by time. */
  dueInMs: number | null;
  /**
   * For a delivery that is held (pending or retrying, with no due time): how long it is not to be
   * sent, on the database's clock. Absent: it is sent as soon as its webhook can take it.
   */
  deferForMs?: number;
  /** Error class of the attempt, or why the delivery ended without one; null: success. */
  error: string | null;
  attempt: AttemptRecord | null;
}

/** Attempts of the delivery so far, this outcome included. */
export const attemptsAfter = ({ task, attempt }: Outcome): number =>
  attempt ? task.attempt : task.attempt - 1;
