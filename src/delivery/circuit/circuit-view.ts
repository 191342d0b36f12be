import {
  type Circuit,
  type CircuitPolicy,
  type CircuitStep,
  isHealthy,
  CLOSED,
  nextProbeAtMs,
  rebased,
  reduce,
} from './circuit.js';
import { SLOW_START_MS, slowStartLimit } from './slow-start.js';

/** Now, on both clocks: circuits are timed by the store's, leases by the monotonic one of a process. */
export interface Clocks {
  storeMs: number;
  ownMs: number;
}

/** Leave to send one request, given back with its result. */
export interface CircuitPermit {
  /** Undefined: nothing is known against the webhook, and nothing is counted. */
  readonly circuit: CircuitView | undefined;
  /** The epoch that the request belongs to; null: whichever there was while nothing was known. */
  readonly epoch: number | null;
  /** The token of the probe, if it is one. */
  readonly probe: string | null;
}

/** For a webhook that nothing is known against. */
export const UNRESTRICTED: CircuitPermit = { circuit: undefined, epoch: null, probe: null };

/** The probe that this process may send. */
export interface OwnProbe {
  token: string;
  /** A request that is started later might outlast the lease. */
  startByMs: number;
  isOut: boolean;
}

/**
 * What one process knows of one circuit: what it has read last, and on top of that its own results
 * that are still on their way to the store. So it stops at its own failures at once, and does not go
 * on sending until they are written.
 */
export class CircuitView {
  private stored: Circuit | undefined;
  private version = -1;
  private seen: Circuit = CLOSED;
  private readonly underWay: CircuitStep[] = [];
  private ownProbe: OwnProbe | undefined;
  /** The epoch of requests that were sent while nothing was known of this circuit. */
  private unknownEpoch: number | null = null;
  /** Requests of the present epoch that are out. */
  private out = new Set<CircuitPermit>();

  constructor(private readonly policy: CircuitPolicy) {}

  /** As far as this process can tell. */
  get circuit(): Circuit {
    return this.seen;
  }

  /** Requests of the present epoch that this process has out. */
  get outCount(): number {
    return this.out.size;
  }

  /** Takes in what was read. What was read earlier may come later, and is left out. */
  learn(stored: Circuit, version: number, storeMs: number): void {
    if (version <= this.version) return;
    this.unknownEpoch ??= stored.epoch - (stored.epoch % 2);
    this.stored = stored;
    this.version = version;
    this.rebase(storeMs);
  }

  /** If the store's clock has stepped back, what has begun begins now: it runs on by our clock. */
  rebase(storeMs: number): void {
    if (this.stored) this.stored = rebased(this.stored, storeMs);
    this.refresh(storeMs);
  }

  /** The probe is this process's own from now on. */
  won(probe: OwnProbe): void {
    this.ownProbe = probe;
  }

  /** Takes in a step of this process that is on its way to the store. */
  begin(step: CircuitStep, storeMs: number): void {
    this.underWay.push(step);
    this.refresh(storeMs);
  }

  /** The step has arrived, or is given up. */
  end(step: CircuitStep, storeMs: number): void {
    this.underWay.splice(this.underWay.indexOf(step), 1);
    this.refresh(storeMs);
  }

  /** How many requests this process may have out now. */
  limit({ storeMs, ownMs }: Clocks): number {
    const { phase } = this.seen;
    switch (phase.kind) {
      case 'closed':
        return phase.sinceMs === null ? Infinity : slowStartLimit(storeMs - phase.sinceMs);
      case 'open':
        return 0;
      case 'half_open': {
        const probe = this.ownProbe;
        const isOurs = probe?.token === phase.probe;
        return isOurs && (probe.isOut || ownMs <= probe.startByMs) ? 1 : 0;
      }
    }
  }

  /** Milliseconds until one more may go, as far as time alone decides. */
  nextMs(now: Clocks): number {
    if (this.limit(now) > 0 && !this.ownProbe?.isOut) return 0;
    return Math.max(nextProbeAtMs(this.seen, this.policy) - now.storeMs, 0);
  }

  /** @param isAdmitted whether its place in the ramp was found already */
  permit(now: Clocks, isAdmitted: boolean): CircuitPermit | undefined {
    const limit = this.limit(now);
    if (this.seen.phase.kind === 'closed') {
      return isAdmitted || this.out.size < limit ? this.issue(null) : undefined;
    }
    if (limit === 0 || !this.ownProbe || this.ownProbe.isOut) return undefined;
    this.ownProbe.isOut = true;
    return this.issue(this.ownProbe.token);
  }

  /** The request of a permit has a result: the probe is used up. */
  settle(permit: CircuitPermit): void {
    this.out.delete(permit);
    if (permit.probe !== null && this.ownProbe?.token === permit.probe) this.ownProbe = undefined;
  }

  /** The request was not made: its place, and the probe, are there for another one. */
  returnPermit(permit: CircuitPermit): void {
    this.out.delete(permit);
    if (permit.probe !== null && this.ownProbe?.token === permit.probe) this.ownProbe.isOut = false;
  }

  /** The epoch that the result of a request is to be judged by. */
  epochOf({ epoch }: CircuitPermit): number | null {
    return epoch ?? this.unknownEpoch;
  }

  /** Whether it can be forgotten until the next failure. */
  isIdle(storeMs: number): boolean {
    const { phase } = this.seen;
    const isRamping = phase.sinceMs !== null && storeMs - phase.sinceMs < SLOW_START_MS;
    const isBusy = this.underWay.length > 0 || this.out.size > 0;
    return isHealthy(this.seen) && !isRamping && !isBusy;
  }

  private issue(probe: string | null): CircuitPermit {
    const epoch = this.stored ? this.seen.epoch : null;
    const permit = { circuit: this, epoch, probe };
    this.out.add(permit);
    return permit;
  }

  private refresh(storeMs: number): void {
    const { epoch } = this.seen;
    this.seen = this.underWay.reduce(
      (circuit, step) => reduce(circuit, step, storeMs, this.policy).circuit,
      this.stored ?? CLOSED,
    );
    if (this.seen.epoch !== epoch) this.out = new Set();
  }
}
