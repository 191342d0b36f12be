import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { NotificationListener } from '../../database/notification.listener.js';
import { TableCache } from '../../database/table.cache.js';
import { type AttemptResult, errorOf } from '../../outbound/attempt-result.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { WebhooksService } from '../../webhooks/webhooks.service.js';
import { type Circuit, type CircuitStep, nextProbeAtMs } from './circuit.js';
import { CircuitWriter } from './circuit-writer.service.js';
import { CircuitStore } from './circuit.store.js';
import { UNRESTRICTED, CircuitView, type Clocks, type CircuitPermit } from './circuit-view.js';
import { verdictOf } from './verdict.js';
import { LeaseTokens } from '../leases/lease-tokens.service.js';
import { DeliverySignals } from '../signals/delivery-signals.service.js';

/** For the case that a notification was lost. */
const POLL_MS = 2_000;

/** A circuit as the API and the metrics show it. */
export interface CircuitState {
  state: 'closed' | 'open' | 'half_open';
  /** In a row. */
  failures: number;
  /** When the state began; null: it has been closed from the beginning. */
  since: Date | null;
  /** When the next probe may be sent; null while it is closed. */
  retryAt: Date | null;
  lastError: string | null;
}

/**
 * The circuit breakers of all webhooks, shared by all processes through the store. Whether a request
 * may go is answered from memory; a webhook that works costs one look into a map, and no query.
 *
 * Other processes' failures and transitions are learned of by notification, within milliseconds, or
 * by the next poll. What may never happen twice (the probe, the opening) is decided in the store.
 */
@Injectable()
export class Circuits implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(Circuits.name);
  /** Those that there is something to know of. */
  private readonly known = new Map<string, CircuitView>();
  private readonly claims = new Map<string, Promise<void>>();
  private storeAheadMs = 0;
  private horizon: string | undefined;
  private readonly follower: TableCache;

  constructor(
    private readonly store: CircuitStore,
    private readonly writer: CircuitWriter,
    private readonly registry: WebhookCache,
    private readonly webhooks: WebhooksService,
    private readonly tokens: LeaseTokens,
    private readonly signals: DeliverySignals,
    notifications: NotificationListener,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.follower = new TableCache(notifications, {
      what: 'the circuits',
      channel: 'circuits',
      read: () => this.read(),
      pollMs: POLL_MS,
    });
  }

  async onModuleInit(): Promise<void> {
    await this.follower.start();
    this.webhooks.onRepaired((webhookId) => this.close(webhookId));
  }

  onApplicationShutdown(): Promise<void> {
    return this.follower.stop();
  }

  /**
   * Requests that this process may have out to a webhook now, as far as its circuit is concerned:
   * Infinity, 0 (open, or another process has the probe), 1 (the probe is here), or the ramp after
   * closing.
   */
  limit(webhookId: string): number {
    return this.known.get(webhookId)?.limit(this.now()) ?? Infinity;
  }

  /**
   * How many of the wanted deliveries may be pulled for a webhook now. When the open time is over it
   * tries to win the probe for this process; whoever wins gets 1, until the probe is on its way.
   */
  async admit(webhookId: string, wanted: number): Promise<number> {
    const known = this.known.get(webhookId);
    if (!known) return wanted;
    if (this.needsProbe(webhookId)) await this.claimOnce(webhookId);
    const free = known.limit(this.now()) - known.outCount;
    return Math.max(Math.min(wanted, free), 0);
  }

  /**
   * Whether {@link admit} would claim the probe. Nobody is to ask for it who has nothing to send: it
   * stays claimed until its lease ends, and what comes meanwhile has to wait.
   */
  needsProbe(webhookId: string): boolean {
    const known = this.known.get(webhookId);
    return known?.limit(this.now()) === 0 && known.nextMs(this.now()) === 0;
  }

  /** Milliseconds until {@link admit} may answer with more than 0; see also the signal `circuitChanged`. */
  nextAdmissionMs(webhookId: string): number {
    return this.known.get(webhookId)?.nextMs(this.now()) ?? 0;
  }

  /**
   * Leave to send one request now; undefined: its delivery is to be held. Every permit comes back by
   * {@link observe} or {@link returnPermit}.
   * @param isAdmitted whether {@link admit} has let its delivery go
   */
  permit(webhookId: string, isAdmitted: boolean): CircuitPermit | undefined {
    const known = this.known.get(webhookId);
    return known ? known.permit(this.now(), isAdmitted) : UNRESTRICTED;
  }

  /** A permit that was not used: the request never went out. */
  returnPermit(permit: CircuitPermit): void {
    permit.circuit?.returnPermit(permit);
  }

  /**
   * Takes in the result of a request. Does not wait: what has to be written is written in groups.
   * @param isSystemEvent whether what was sent is an event about the system itself
   */
  observe(
    webhookId: string,
    permit: CircuitPermit,
    result: AttemptResult,
    isSystemEvent: boolean,
  ): void {
    permit.circuit?.settle(permit);
    const verdict = verdictOf(result);
    const known = this.known.get(webhookId);
    if (permit.probe === null) {
      if (verdict === 'neutral' || (verdict === 'success' && !known?.circuit.failures)) return;
    }
    const epoch = known ? known.epochOf(permit) : permit.epoch;
    const { probe } = permit;
    void this.apply(webhookId, {
      kind: 'result',
      verdict,
      error: errorOf(result),
      epoch,
      probe,
      isSystemEvent,
    });
  }

  /** Somebody has repaired the webhook: what waits is released, at the ramp. */
  async close(webhookId: string): Promise<void> {
    await this.apply(webhookId, { kind: 'close' });
  }

  /** A person wants this sent now: if it is open, the probe need not wait any longer, and is this. */
  async probeNow(webhookId: string, deliveryId: string): Promise<void> {
    if (this.known.get(webhookId)?.circuit.phase.kind !== 'open') return;
    await this.apply(webhookId, { kind: 'expire', requestedProbe: deliveryId });
  }

  /** The delivery that a person wants sent as the probe, while that is here to be sent. */
  requestedProbe(webhookId: string): string | undefined {
    const known = this.known.get(webhookId);
    if (known?.circuit.phase.kind !== 'half_open' || known.limit(this.now()) === 0)
      return undefined;
    return known.circuit.phase.requestedProbe;
  }

  /** Of one webhook, as the store has it. */
  async stateOf(webhookId: string): Promise<CircuitState> {
    const { circuits } = await this.store.read([webhookId]);
    return this.shown(circuits[0]!.circuit);
  }

  /** All that are not closed, as far as this process knows. */
  states(): Map<string, CircuitState> {
    const states = new Map<string, CircuitState>();
    for (const [webhookId, { circuit }] of this.known) {
      const isOfInterest = circuit.phase.kind !== 'closed' && this.registry.get(webhookId);
      if (isOfInterest) states.set(webhookId, this.shown(circuit));
    }
    return states;
  }

  /** Of several who ask at the same time one claims, and the others wait for it. */
  private async claimOnce(webhookId: string): Promise<void> {
    const claim = this.claims.get(webhookId) ?? this.claimProbe(webhookId);
    this.claims.set(webhookId, claim);
    await claim.finally(() => this.claims.delete(webhookId));
  }

  private async claimProbe(webhookId: string): Promise<void> {
    const { maxWaitMs, leaseMarginMs } = this.timings;
    const token = this.tokens.next();
    // The delivery has to be claimed, and then to wait for its turn in the worker.
    const startWithinMs = 2 * maxWaitMs;
    const leaseMs = this.registry.longestTimeoutMs + startWithinMs + leaseMarginMs;
    // Counted from before the statement: for us the lease must not end later than in the row.
    const startByMs = performance.now() + startWithinMs;
    this.knownOf(webhookId).won({ token, startByMs, isOut: false });
    await this.apply(webhookId, { kind: 'claim', token, leaseMs });
  }

  private async apply(webhookId: string, step: CircuitStep): Promise<void> {
    const known = this.knownOf(webhookId);
    // Whether a claim is won is for the store to say.
    const isForeseeable = step.kind === 'result';
    if (isForeseeable) known.begin(step, this.now().storeMs);
    try {
      const { circuit, version, nowMs } = await this.writer.apply({ webhookId, step });
      this.synchronize(nowMs);
      if (isForeseeable) known.end(step, nowMs);
      this.learn(webhookId, circuit, version, nowMs);
    } catch (error) {
      this.logger.error(`a result was not counted for ${webhookId}: ${String(error)}`);
      if (isForeseeable) known.end(step, this.now().storeMs);
    }
  }

  private async read(): Promise<void> {
    const { nowMs, horizon, circuits } = await this.store.changes(this.horizon);
    this.synchronize(nowMs);
    this.horizon = horizon;
    for (const { webhookId, circuit, version } of circuits) {
      this.learn(webhookId, circuit, version, nowMs);
    }
    for (const [webhookId, known] of this.known) {
      known.rebase(nowMs);
      if (known.isIdle(nowMs)) this.known.delete(webhookId);
    }
  }

  private learn(webhookId: string, circuit: Circuit, version: number, nowMs: number): void {
    const known = this.knownOf(webhookId);
    const before = known.circuit.phase;
    known.learn(circuit, version, nowMs);
    const { kind, sinceMs } = known.circuit.phase;
    if (kind === before.kind && sinceMs === before.sinceMs) return;
    this.signals.emit('circuitChanged', webhookId);
  }

  private knownOf(webhookId: string): CircuitView {
    let known = this.known.get(webhookId);
    if (!known) {
      known = new CircuitView(this.config.breaker);
      this.known.set(webhookId, known);
    }
    return known;
  }

  private shown(circuit: Circuit): CircuitState {
    const { phase, failures, lastError } = circuit;
    const { sinceMs } = phase;
    return {
      state: phase.kind,
      failures,
      since: sinceMs === null ? null : new Date(sinceMs),
      retryAt:
        phase.kind === 'closed' ? null : new Date(nextProbeAtMs(circuit, this.config.breaker)),
      lastError,
    };
  }

  /** The store's clock runs on by ours between two looks at it. */
  private synchronize(storeMs: number): void {
    this.storeAheadMs = storeMs - performance.now();
  }

  private now(): Clocks {
    const ownMs = performance.now();
    return { ownMs, storeMs: ownMs + this.storeAheadMs };
  }
}
