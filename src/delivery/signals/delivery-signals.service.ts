import { EventEmitter } from 'node:events';
import { Injectable } from '@nestjs/common';
import type { DeliveryTask } from '../sending/task.js';

/** What the parts of delivery within one process let each other know, and with which arguments. */
interface Signals {
  /** A row falls due in so many milliseconds; this process has just written it. */
  due: [inMs: number];
  /** A delivery of this webhook is deferred, and not to be sent for so many milliseconds. */
  deferred: [webhookId: string, inMs: number];
  /** A task has left the memory of the worker: its outcome is durable, or will never be written. */
  settled: [task: DeliveryTask];
  /** Tasks came after the worker had begun to drain: their leases are to be released. */
  refused: [tasks: readonly DeliveryTask[]];
  /** This process has learned that a circuit opened, closed or is probed. */
  circuitChanged: [webhookId: string];
}

/** Connects the worker, the sweeper and the scheduler without any of them knowing the others. */
@Injectable()
export class DeliverySignals extends EventEmitter<Signals> {}
