import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { Clock } from '../../database/clock.service.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { NotificationListener } from '../../database/notification.listener.js';
import { TableCache } from '../../database/table.cache.js';
import { logFailure } from '../../shared/log-failure.js';
import { type AttemptResult, errorOf } from '../../outbound/attempt-result.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { WebhooksService } from '../../webhooks/webhooks.service.js';
import { LeaseTokens } from '../leases/lease-tokens.service.js';
import { DeliverySignals } from '../signals/delivery-signals.service.js';
import { circuitResultOf, type CircuitStep, nextProbeAtMs } from './circuit.js';
import { CircuitWriter } from './circuit-writer.service.js';
import { CircuitStore, type StoredCircuit } from './circuit.store.js';
import { UNRESTRICTED, CircuitView, type Clocks, type CircuitPermit } from './circuit-view.js';

/** A circuit as the API shows it. */
export interface CircuitState {
  state: 'closed' | 'open' | 'half_open';
  /** In a row. */
  failures: number;
  /** When the state began; null: it has always been closed. */
  since: Date | null;
  /** When the next probe may be sent; null while it is closed. */
  retryAt: Date | null;
  lastError: string | null;
}

/**
 * The circuit breakers of all webhooks, shared by all nodes through the store. Whether a request may
 * start is decided in memory; a healthy webhook costs one look-up in a map, and no query.
 *
 * Failures and transitions of other nodes arrive by notification, within milliseconds, or by the
 * next poll. What must not happen twice (the probe, the opening) is decided in the store.
 */
@Injectable()
export class Circuits implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(Circuits.name);
  /** Of the webhooks that are, or were lately, not healthy. */
  private readonly views = new Map<string, CircuitView>();
  private readonly probeClaims = new Map<string, Promise<void>>();
  private horizon: string | undefined;
  private readonly cache: TableCache;

  constructor(
    private readonly store: CircuitStore,
    private readonly writer: CircuitWriter,
    private readonly webhookCache: WebhookCache,
    private readonly webhooks: WebhooksService,
    private readonly tokens: LeaseTokens,
    private readonly signals: DeliverySignals,
    private readonly clock: Clock,
    notifications: NotificationListener,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.cache = new TableCache(notifications, {
      what: 'the circuits',
      channel: 'circuits',
      read: () => this.read(),
      pollMs: timings.circuitPollMs,
    });
  }

  async onModuleInit(): Promise<void> {
    await this.cache.start();
    this.webhooks.on('repaired', (webhookId, waitFor) => waitFor(this.close(webhookId)));
  }

  onApplicationShutdown(): Promise<void> {
    return this.cache.stop();
  }

  /**
   * How many of the wanted deliveries may be claimed for a webhook now. When the open time is over,
   * it tries to claim the probe for this node; if that succeeds, the answer is 1 until the probe is
   * in flight.
   */
  async admit(webhookId: string, wanted: number): Promise<number> {
    const view = this.views.get(webhookId);
    if (!view) return wanted;
    if (this.needsProbe(webhookId)) await this.claimProbeOnce(webhookId);
    const free = view.limit(this.now()) - view.inFlightCount;
    return Math.max(Math.min(wanted, free), 0);
  }

  /**
   * Whether {@link admit} would claim the probe. Only a caller that has a delivery to send may let it:
   * a claimed probe that is not sent blocks the webhook until its lease ends.
   */
  needsProbe(webhookId: string): boolean {
    const view = this.views.get(webhookId);
    return view?.limit(this.now()) === 0 && view.nextMs(this.now()) === 0;
  }

  /** Milliseconds until {@link admit} may answer with more than 0; see also the signal `circuitChanged`. */
  nextAdmissionMs(webhookId: string): number {
    return this.views.get(webhookId)?.nextMs(this.now()) ?? 0;
  }

  /**
   * Allows one request now; undefined: its delivery is to be deferred. Every permit ends with
   * {@link observe} or {@link returnPermit}.
   * @param isAdmitted whether {@link admit} has counted its delivery
   */
  permit(webhookId: string, isAdmitted: boolean): CircuitPermit | undefined {
    const view = this.views.get(webhookId);
    return view ? view.permit(this.now(), isAdmitted) : UNRESTRICTED;
  }

  /** The request was not made. */
  returnPermit(permit: CircuitPermit): void {
    permit.circuit?.returnPermit(permit);
  }

  /** Counts the result of a request. Does not wait: results are written in groups. */
  observe(
    webhookId: string,
    permit: CircuitPermit,
    attempt: AttemptResult,
    isSystemEvent: boolean,
  ): void {
    permit.circuit?.settle(permit);
    const result = circuitResultOf(attempt);
    const view = this.views.get(webhookId);
    if (permit.probe === null) {
      if (result === 'neutral' || (result === 'success' && !view?.circuit.failures)) return;
    }
    const epoch = view ? view.epochOf(permit) : permit.epoch;
    const { probe } = permit;
    const error = errorOf(attempt);
    void this.apply(webhookId, { kind: 'result', result, error, epoch, probe, isSystemEvent });
  }

  /** The webhook was repaired: its backlog is sent, with a slow start. */
  async close(webhookId: string): Promise<void> {
    await this.apply(webhookId, { kind: 'close' });
  }

  /** A user wants this delivery sent now: if the circuit is open, it becomes the probe at once. */
  async probeNow(webhookId: string, deliveryId: string): Promise<void> {
    const phase = this.views.get(webhookId)?.circuit.phase.kind;
    // A view may still say half-open after another node's probe has failed: the store decides.
    if (phase === undefined || phase === 'closed') return;
    await this.apply(webhookId, { kind: 'requestProbe', deliveryId });
  }

  /** The delivery that a user asked for as the probe, if this node may send the probe. */
  requestedProbe(webhookId: string): string | undefined {
    const view = this.views.get(webhookId);
    if (view?.circuit.phase.kind !== 'half_open' || view.limit(this.now()) === 0) return undefined;
    return view.circuit.phase.requestedProbe;
  }

  /** Of one webhook, as it is stored. */
  async stateOf(webhookId: string): Promise<CircuitState> {
    const { circuits } = await this.store.read([webhookId]);
    const { phase, failures, lastError } = circuits[0]!.circuit;
    const { kind: state, sinceMs } = phase;
    const since = sinceMs === null ? null : new Date(sinceMs);
    const nextAtMs = nextProbeAtMs(circuits[0]!.circuit, this.config.breaker);
    const retryAt = state === 'closed' ? null : new Date(nextAtMs);
    return { state, failures, since, retryAt, lastError };
  }

  /** Callers that ask at the same time share one claim. */
  private async claimProbeOnce(webhookId: string): Promise<void> {
    const claim = this.probeClaims.get(webhookId) ?? this.claimProbe(webhookId);
    this.probeClaims.set(webhookId, claim);
    await claim.finally(() => this.probeClaims.delete(webhookId));
  }

  private async claimProbe(webhookId: string): Promise<void> {
    const { maxWaitMs, leaseMarginMs } = this.timings;
    const token = this.tokens.next();
    // The delivery has to be claimed, and then to wait for its turn in the worker.
    const startWithinMs = 2 * maxWaitMs;
    const leaseMs = this.webhookCache.longestTimeoutMs + startWithinMs + leaseMarginMs;
    // Counted from before the statement: for us the lease must not end later than in the row.
    const startByMs = performance.now() + startWithinMs;
    this.viewOf(webhookId).claimProbe({ token, startByMs, isInFlight: false });
    await this.apply(webhookId, { kind: 'claim', token, leaseMs });
  }

  private async apply(webhookId: string, step: CircuitStep): Promise<void> {
    const view = this.viewOf(webhookId);
    // Of the others, only the store can say whether they take effect.
    const isPredictable = step.kind === 'result';
    if (isPredictable) view.addPending(step, this.now().storeMs);
    const sentMs = performance.now();
    try {
      const { nowMs, ...circuit } = await this.writer.apply({ webhookId, step });
      this.clock.observe(nowMs, sentMs);
      if (isPredictable) view.removePending(step, nowMs);
      this.update({ webhookId, ...circuit }, nowMs);
    } catch (error) {
      logFailure(this.logger, 'error', 'a step of a circuit was not written', error, {
        webhookId,
        step: step.kind,
      });
      if (isPredictable) view.removePending(step, this.now().storeMs);
    }
  }

  private async read(): Promise<void> {
    const sentMs = performance.now();
    const { nowMs, horizon, circuits } = await this.store.changes(this.horizon);
    this.clock.observe(nowMs, sentMs);
    this.horizon = horizon;
    for (const circuit of circuits) this.update(circuit, nowMs);
    for (const [webhookId, view] of this.views) {
      view.followClock(nowMs);
      if (view.isIdle(nowMs)) this.views.delete(webhookId);
    }
  }

  private update({ webhookId, circuit, version }: StoredCircuit, nowMs: number): void {
    const view = this.viewOf(webhookId);
    const before = view.circuit.phase;
    view.update(circuit, version, nowMs);
    const { kind, sinceMs } = view.circuit.phase;
    if (kind === before.kind && sinceMs === before.sinceMs) return;
    this.signals.emit('circuitChanged', webhookId);
  }

  private viewOf(webhookId: string): CircuitView {
    let view = this.views.get(webhookId);
    if (!view) {
      view = new CircuitView(this.config.breaker);
      this.views.set(webhookId, view);
    }
    return view;
  }

  private now(): Clocks {
    return { monotonicMs: performance.now(), storeMs: this.clock.nowMs() };
  }
}
