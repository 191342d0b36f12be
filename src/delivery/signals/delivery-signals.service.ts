import { EventEmitter } from 'node:events';
import { Injectable } from '@nestjs/common';
import type { DeliveryTask } from '../sending/task.js';

/** Webhooks that may have deferred deliveries: newer deliveries leave a share of the webhook's queue to them. */
@Injectable()
export class Backlog {
  private readonly webhookIds = new Set<string>();

  has(webhookId: string): boolean {
    return this.webhookIds.has(webhookId);
  }

  add(webhookId: string): void {
    this.webhookIds.add(webhookId);
  }

  delete(webhookId: string): void {
    this.webhookIds.delete(webhookId);
  }
}

/** The events between the parts of delivery within one process, with their arguments. */
interface Signals {
  /** This process has written a row that is due in so many milliseconds. */
  due: [inMs: number];
  /** A delivery to this webhook is deferred, and must not be sent for so many milliseconds. */
  deferred: [webhookId: string, inMs: number];
  /** A task has left the memory of the worker: its outcome is durable, or will never be written. */
  settled: [task: DeliveryTask];
  /** Tasks were submitted while the worker drains: their leases are to be released. */
  refused: [tasks: readonly DeliveryTask[]];
  /** This process has learned that a circuit opened, closed or is probed. */
  circuitChanged: [webhookId: string];
}

/** Connects the worker, the sweeper and the scheduler without references to each other. */
@Injectable()
export class DeliverySignals extends EventEmitter<Signals> {}
