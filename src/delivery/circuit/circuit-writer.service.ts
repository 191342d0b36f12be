import { Inject, Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { GroupCommit } from '../../database/group-commit.js';
import { isContention, isItemsFault } from '../../database/sql-errors.js';
import { type Circuit, type CircuitSignal, type CircuitStep, reduce } from './circuit.js';
import { CircuitNotifier } from './circuit-notifier.service.js';
import { type CircuitChange, type CircuitsRead, CircuitStore } from './circuit.store.js';

/** A step of one circuit, to be applied to what the store holds. */
export interface CircuitMove {
  webhookId: string;
  step: CircuitStep;
}

/** A circuit after the move. */
export interface CircuitMoved {
  circuit: Circuit;
  version: number;
  /** When it was read, on the database's clock. */
  nowMs: number;
}

const GAP_MS = 10;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

/**
 * Applies steps to the circuits that all processes share: many in one statement, in the order of
 * their arrival, each on top of what the others have written. What became of them is told by whoever
 * wrote it, once.
 */
@Injectable()
export class CircuitWriter implements OnModuleDestroy {
  private readonly logger = new Logger(CircuitWriter.name);
  private isStopped = false;
  private readonly moves = new GroupCommit<CircuitMove, CircuitMoved>({
    write: (moves) => this.untilWritten(moves),
    isItemsFault,
    minGapMs: GAP_MS,
    // One at a time: failures in a row are counted in the order in which they came.
    maxInFlight: 1,
    now: () => performance.now(),
  });

  constructor(
    private readonly store: CircuitStore,
    private readonly signals: CircuitNotifier,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** First of all: whoever ends may be waiting for a store that does not come back. */
  onModuleDestroy(): void {
    this.isStopped = true;
  }

  /** Settles when the move is durable; goes on trying while the store is away. */
  apply(move: CircuitMove): Promise<CircuitMoved> {
    return this.moves.add(move);
  }

  private async untilWritten(moves: readonly CircuitMove[]): Promise<CircuitMoved[]> {
    for (let wait = RETRY_MIN_MS; ; wait = Math.min(wait * 2, RETRY_MAX_MS)) {
      try {
        return await this.write(moves);
      } catch (error) {
        if (isItemsFault(error) || this.isStopped) throw error;
        if (!isContention(error)) {
          this.logger.error(`circuits cannot be written, trying again: ${String(error)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  private async write(moves: readonly CircuitMove[]): Promise<CircuitMoved[]> {
    const steps = new Map<string, CircuitStep[]>();
    for (const { webhookId, step } of moves) {
      const own = steps.get(webhookId);
      if (own) own.push(step);
      else steps.set(webhookId, [step]);
    }
    const settled = new Map<string, CircuitMoved>();
    // Of several writers of one row one wins each round, so every round is somebody's last.
    while (settled.size < steps.size) {
      const open = [...steps.keys()].filter((id) => !settled.has(id)).sort();
      const read = await this.store.read(open);
      for (const [id, circuit] of await this.advance(read, steps)) {
        settled.set(id, { ...circuit, nowMs: read.nowMs });
      }
    }
    return moves.map(({ webhookId }) => settled.get(webhookId)!);
  }

  /** @returns the circuits that are written, or had nothing to write */
  private async advance(
    { nowMs, circuits }: CircuitsRead,
    steps: ReadonlyMap<string, readonly CircuitStep[]>,
  ): Promise<Map<string, Omit<CircuitMoved, 'nowMs'>>> {
    const done = new Map<string, Omit<CircuitMoved, 'nowMs'>>();
    const changes: (CircuitChange & { signals: CircuitSignal[] })[] = [];
    for (const read of circuits) {
      const signals: CircuitSignal[] = [];
      const after = steps.get(read.webhookId)!.reduce((circuit, step) => {
        const reduced = reduce(circuit, step, nowMs, this.config.breaker);
        signals.push(...reduced.signals);
        return reduced.circuit;
      }, read.circuit);
      if (after === read.circuit) done.set(read.webhookId, read);
      else changes.push({ read, after, signals });
    }
    const written = changes.length > 0 ? await this.store.write(changes) : new Set<string>();
    for (const { read, after, signals } of changes) {
      if (!written.has(read.webhookId)) continue;
      done.set(read.webhookId, { circuit: after, version: read.version + 1 });
      this.signals.notify(read.webhookId, signals);
    }
    return done;
  }
}
