import { Inject, Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { GroupCommit } from '../../database/group-commit.js';
import { isContention, isItemsFault } from '../../database/sql-errors.js';
import { logFailure } from '../../shared/log-failure.js';
import { retryUntilDone } from '../../shared/retry.timer.js';
import { type CircuitSignal, type CircuitStep, reduce } from './circuit.js';
import { CircuitNotifier } from './circuit-notifier.service.js';
import {
  type CircuitChange,
  type CircuitsRead,
  CircuitStore,
  type StoredCircuit,
} from './circuit.store.js';

/** A step of one circuit, to be applied to what is stored. */
export interface WebhookStep {
  webhookId: string;
  step: CircuitStep;
}

/** A circuit after the step. */
export interface WrittenCircuit extends Omit<StoredCircuit, 'webhookId'> {
  /** When it was read, on the database's clock. */
  nowMs: number;
}

const GAP_MS = 10;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

/**
 * Applies steps to the circuits that all nodes share: many in one statement, in the order of their
 * arrival, each on top of what other nodes have written. The node that has written a change
 * publishes it, so that happens once.
 */
@Injectable()
export class CircuitWriter implements OnModuleDestroy {
  private readonly logger = new Logger(CircuitWriter.name);
  private isStopped = false;
  private readonly steps = new GroupCommit<WebhookStep, WrittenCircuit>({
    write: (steps) => this.writeUntilDone(steps),
    isItemsFault,
    minGapMs: GAP_MS,
    // One at a time: failures in a row are counted in the order in which they came.
    maxInFlight: 1,
    now: () => performance.now(),
  });

  constructor(
    private readonly store: CircuitStore,
    private readonly notifier: CircuitNotifier,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** Before all others: their shutdown may wait for a write, and the store may not come back. */
  onModuleDestroy(): void {
    this.isStopped = true;
  }

  /** Settles when the step is durable; tries again while the store is away. */
  apply(step: WebhookStep): Promise<WrittenCircuit> {
    return this.steps.add(step);
  }

  private writeUntilDone(steps: readonly WebhookStep[]): Promise<WrittenCircuit[]> {
    return retryUntilDone(() => this.write(steps), {
      isFinal: (error) => isItemsFault(error) || this.isStopped,
      onError: (error) => {
        if (isContention(error)) return;
        logFailure(this.logger, 'error', 'circuits were not written, trying again', error);
      },
      minWaitMs: RETRY_MIN_MS,
      maxWaitMs: RETRY_MAX_MS,
    });
  }

  private async write(steps: readonly WebhookStep[]): Promise<WrittenCircuit[]> {
    const byWebhook = new Map<string, CircuitStep[]>();
    for (const { webhookId, step } of steps) {
      const sameWebhook = byWebhook.get(webhookId);
      if (sameWebhook) sameWebhook.push(step);
      else byWebhook.set(webhookId, [step]);
    }
    const written = new Map<string, WrittenCircuit>();
    // Of several writers of a row one succeeds in each round, so each of them comes to its end.
    while (written.size < byWebhook.size) {
      const open = [...byWebhook.keys()].filter((id) => !written.has(id)).sort();
      const read = await this.store.read(open);
      for (const { webhookId, ...circuit } of await this.advance(read, byWebhook)) {
        written.set(webhookId, { ...circuit, nowMs: read.nowMs });
      }
    }
    return steps.map(({ webhookId }) => written.get(webhookId)!);
  }

  /** @returns the circuits that were written, or that the steps do not change */
  private async advance(
    { nowMs, circuits }: CircuitsRead,
    steps: ReadonlyMap<string, readonly CircuitStep[]>,
  ): Promise<StoredCircuit[]> {
    const done: StoredCircuit[] = [];
    const changes: (CircuitChange & { signals: CircuitSignal[] })[] = [];
    for (const read of circuits) {
      const signals: CircuitSignal[] = [];
      const after = steps.get(read.webhookId)!.reduce((circuit, step) => {
        const reduced = reduce(circuit, step, nowMs, this.config.breaker);
        signals.push(...reduced.signals);
        return reduced.circuit;
      }, read.circuit);
      if (after === read.circuit) done.push(read);
      else changes.push({ read, after, signals });
    }
    const written = changes.length > 0 ? await this.store.write(changes) : new Set<string>();
    for (const { read, after, signals } of changes) {
      const { webhookId, version } = read;
      if (!written.has(webhookId)) continue;
      done.push({ webhookId, circuit: after, version: version + 1 });
      this.notifier.notify(webhookId, signals);
    }
    return done;
  }
}
