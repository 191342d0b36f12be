import {
  type Circuit,
  type CircuitPolicy,
  type CircuitStep,
  isHealthy,
  CLOSED,
  nextProbeAtMs,
  reduce,
  withoutFutureTimes,
} from './circuit.js';
import { Pace } from './pace.js';
import { isPaused } from './pause.js';

/** Now, on both clocks: circuits are timed by the store's, leases by the monotonic one of the node. */
export interface Clocks {
  storeMs: number;
  monotonicMs: number;
}

/** Allows one request; returned unused, or settled with the result. */
export interface CircuitPermit {
  /** Undefined: the webhook has no known failure, and nothing is counted. */
  readonly circuit: CircuitView | undefined;
  /** The epoch that the request belongs to; null: no failure was known, the epoch neither. */
  readonly epoch: number | null;
  /** The token of the probe, if it is one. */
  readonly probe: string | null;
}

/** For a webhook without known failures. */
export const UNRESTRICTED: CircuitPermit = { circuit: undefined, epoch: null, probe: null };

/** The probe that this node may send. */
export interface OwnProbe {
  token: string;
  /** On the monotonic clock; a request that is started later might outlive the lease. */
  startByMs: number;
  isInFlight: boolean;
}

/** During the slow start, the number of requests at once doubles after each step. */
const SLOW_START_STEP_MS = 1_000;
/** 1,024 at once is above any limit that a webhook can have. */
const SLOW_START_STEPS = 10;

export const SLOW_START_MS = SLOW_START_STEP_MS * SLOW_START_STEPS;

/**
 * How many requests at once a node may make after a circuit has closed: 1, 2, 4, … and in the end no
 * limit. The whole backlog at once would overload a receiver that has just recovered.
 * @param msSinceClosed negative if the clock stepped back: then the slow start begins again
 */
export function slowStartLimit(msSinceClosed: number): number {
  if (msSinceClosed >= SLOW_START_MS) return Number.POSITIVE_INFINITY;
  return 2 ** Math.floor(Math.max(msSinceClosed, 0) / SLOW_START_STEP_MS);
}

/**
 * A node's view of one circuit: the state that it has read last, and on top of that its own results
 * that are not written yet. So a node stops at its own failures at once, and not only when they are
 * written.
 */
export class CircuitView {
  private stored: Circuit | undefined;
  private version = -1;
  private current: Circuit = CLOSED;
  private readonly pendingSteps: CircuitStep[] = [];
  private ownProbe: OwnProbe | undefined;
  /** The epoch of requests that were sent before this circuit was read for the first time. */
  private firstEpoch: number | null = null;
  /** Requests of the present epoch. */
  private inFlight = new Set<CircuitPermit>();
  private readonly pace = new Pace();

  constructor(private readonly policy: CircuitPolicy) {}

  get circuit(): Circuit {
    return this.current;
  }

  /** Takes over what was read or written. Answers may overtake each other: an older one is ignored. */
  update(stored: Circuit, version: number, storeMs: number): void {
    if (version <= this.version) return;
    this.firstEpoch ??= stored.epoch - (stored.epoch % 2);
    this.stored = stored;
    this.version = version;
    this.followClock(storeMs);
  }

  /** To be called now and then: the store's clock may have stepped back. */
  followClock(storeMs: number): void {
    if (this.stored) this.stored = withoutFutureTimes(this.stored, storeMs);
    this.recompute(storeMs);
  }

  /** It becomes this node's own as soon as the store says that the claim has succeeded. */
  claimProbe(probe: OwnProbe): void {
    this.ownProbe = probe;
  }

  /** A step of this node that is being written. */
  addPending(step: CircuitStep, storeMs: number): void {
    this.pendingSteps.push(step);
    this.recompute(storeMs);
  }

  /** The step is written, or given up. */
  removePending(step: CircuitStep, storeMs: number): void {
    this.pendingSteps.splice(this.pendingSteps.indexOf(step), 1);
    this.recompute(storeMs);
  }

  /** How many requests this node may have in flight now. */
  limit({ storeMs, monotonicMs }: Clocks): number {
    const { phase } = this.current;
    switch (phase.kind) {
      case 'closed':
        if (isPaused(this.current, storeMs)) return 0;
        return phase.sinceMs === null ? Infinity : slowStartLimit(storeMs - phase.sinceMs);
      case 'open':
        return 0;
      case 'half_open': {
        const probe = this.ownProbe;
        const isOurs = probe?.token === phase.probe;
        return isOurs && (probe.isInFlight || monotonicMs <= probe.startByMs) ? 1 : 0;
      }
    }
  }

  /** Milliseconds until one more request may start, as far as time alone decides. */
  nextMs(now: Clocks): number {
    if (this.current.phase.kind === 'closed') {
      const { pausedUntilMs } = this.current;
      return Math.max((pausedUntilMs ?? -Infinity) - now.storeMs, this.pace.nextMs(now.storeMs));
    }
    if (this.limit(now) > 0 && !this.ownProbe?.isInFlight) return 0;
    return Math.max(nextProbeAtMs(this.current, this.policy) - now.storeMs, 0);
  }

  /** How many of the wanted requests may be claimed now: they are counted as started. */
  admit(wanted: number, now: Clocks): number {
    const free = Math.max(Math.min(wanted, this.limit(now) - this.inFlight.size), 0);
    return this.current.phase.kind === 'closed' ? this.pace.take(free, now.storeMs) : free;
  }

  /** So many that were admitted were not claimed. */
  returnUnused(count: number): void {
    this.pace.returnUnused(count);
  }

  /** @param isAdmitted whether the delivery was counted within the limit when it was claimed */
  permit(now: Clocks, isAdmitted: boolean): CircuitPermit | undefined {
    const limit = this.limit(now);
    if (this.current.phase.kind === 'closed') {
      if (isPaused(this.current, now.storeMs)) return undefined;
      const isInPace = () => this.inFlight.size < limit && this.pace.take(1, now.storeMs) > 0;
      return isAdmitted || isInPace() ? this.issue(null) : undefined;
    }
    if (limit === 0 || !this.ownProbe || this.ownProbe.isInFlight) return undefined;
    this.ownProbe.isInFlight = true;
    return this.issue(this.ownProbe.token);
  }

  /** The request of a permit has a result: the probe is used up. */
  settle(permit: CircuitPermit, isAccepted: boolean): void {
    this.inFlight.delete(permit);
    if (isAccepted) this.pace.accept();
    if (permit.probe !== null && this.ownProbe?.token === permit.probe) this.ownProbe = undefined;
  }

  /** The request was not made: its slot, and the probe, are free for another one. */
  returnPermit(permit: CircuitPermit): void {
    this.inFlight.delete(permit);
    if (permit.probe !== null && this.ownProbe?.token === permit.probe) {
      this.ownProbe.isInFlight = false;
    }
  }

  /** The epoch that the result of a request counts for. */
  epochOf({ epoch }: CircuitPermit): number | null {
    return epoch ?? this.firstEpoch;
  }

  /** Whether the view can be dropped until the next failure. */
  isIdle(storeMs: number): boolean {
    const { phase } = this.current;
    const isInSlowStart = phase.sinceMs !== null && storeMs - phase.sinceMs < SLOW_START_MS;
    const isBusy = this.pendingSteps.length > 0 || this.inFlight.size > 0;
    const isSlowed = isPaused(this.current, storeMs) || this.pace.isActive(storeMs);
    return isHealthy(this.current) && !isInSlowStart && !isBusy && !isSlowed;
  }

  private issue(probe: string | null): CircuitPermit {
    const epoch = this.stored ? this.current.epoch : null;
    const permit = { circuit: this, epoch, probe };
    this.inFlight.add(permit);
    return permit;
  }

  private recompute(storeMs: number): void {
    const { epoch, pausedUntilMs: before } = this.current;
    this.current = this.pendingSteps.reduce(
      (circuit, step) => reduce(circuit, step, storeMs, this.policy).circuit,
      this.stored ?? CLOSED,
    );
    if (this.current.epoch !== epoch) this.inFlight = new Set();
    const { pausedUntilMs, failures } = this.current;
    // A receiver that fails says nothing about its rate when it asks for a pause.
    if (pausedUntilMs === null || pausedUntilMs === before || failures > 0) return;
    if (isPaused(this.current, storeMs)) this.pace.pause(storeMs, pausedUntilMs);
  }
}
