import type { AttemptResult } from '../../outbound/attempt-result.js';
import { MAX_RETRY_AFTER_MS } from '../../shared/retry-policy.js';
import { isPaused, type Pause, withPause } from './pause.js';

/**
 * The circuit breaker of one webhook, as a reducer: from a circuit and a step to the next circuit and
 * the signals that follow. All nodes share it through the store, which applies one step after the
 * other. The time comes from the store, too, and may step back.
 *
 * - closed: failures in a row are counted over all nodes; at the threshold it opens.
 * - open: nothing is sent until the open time is over. Then one node may claim the probe.
 * - half-open: the node with the probe sends one request. Its success closes the circuit, its failure
 *   opens it again.
 *
 * Beside that, a receiver may ask for a pause: with 429, which is no failure but says its rate, or with
 * 503 and `Retry-After`. Then no node sends anything until it is over.
 *
 * A result counts only for the period in which its request was started (`epoch`), and while the
 * circuit is not closed only that of the probe: requests that were in flight when it opened neither
 * open it again nor close it.
 */
export interface Circuit extends Pause {
  phase: Phase;
  /** Grows with each opening and each closing: even while it is closed. */
  epoch: number;
  /** In a row, over all nodes, probes included. */
  failures: number;
  /** When the first of these failures came; null: the last result was a success. */
  failingSinceMs: number | null;
  lastFailureMs: number | null;
  /** Error class of the last failure. */
  lastError: string | null;
  /** Whether one of these failures was of an event that is no system event. */
  countsForAlert: boolean;
  /** Whether the opening was published: only then the closing is. */
  openingNotified: boolean;
}

/** `requestedProbe`: the delivery that a user asked for, which is to be the probe. */
export type Phase =
  /** Since when; null: it has never been open. */
  | { kind: 'closed'; sinceMs: number | null }
  | { kind: 'open'; sinceMs: number; requestedProbe?: string }
  /** Since the probe was claimed under this token, for the time of the lease. */
  | { kind: 'half_open'; sinceMs: number; probe: string; leaseMs: number; requestedProbe?: string };

export interface CircuitPolicy {
  /** Failures in a row that open it. */
  failureThreshold: number;
  /** How long it stays open before a probe. */
  openMs: number;
  /** After so long with failures only, the webhook is to be disabled. */
  disableAfterMs: number;
}

/** What an attempt says about its receiver. */
export type CircuitResult = 'success' | 'failure' | 'throttled' | 'neutral';

/**
 * Every attempt that is not answered with 2xx is a failure, but for 429: that receiver works, and says
 * its rate. Neutral are `blocked`, because nothing was sent, and 410, because that alone disables the
 * webhook.
 */
export function circuitResultOf(result: AttemptResult): CircuitResult {
  if (result.kind === 'failed') return result.error === 'blocked' ? 'neutral' : 'failure';
  if (result.statusCode >= 200 && result.statusCode < 300) return 'success';
  if (result.statusCode === 429) return 'throttled';
  return result.statusCode === 410 ? 'neutral' : 'failure';
}

export type CircuitStep =
  | {
      kind: 'result';
      result: CircuitResult;
      error: string | null;
      /** The pause that the receiver asked for, within limits; null: none, or not for how long. */
      pauseMs?: number | null;
      /** In which the request was started; null: no failure of the webhook was known then. */
      epoch: number | null;
      /** The token of the probe, if the request was one. */
      probe: string | null;
      isSystemEvent: boolean;
    }
  /** A node wants to send the probe, and will have its result within the lease. */
  | { kind: 'claim'; token: string; leaseMs: number }
  /** A user wants this delivery sent now: it is the probe, and the open time is over. */
  | { kind: 'requestProbe'; deliveryId: string }
  /** The webhook was repaired: its failures do not count any more. */
  | { kind: 'close' };

export type CircuitSignal =
  | { kind: 'opened'; failures: number; untilMs: number; lastError: string | null }
  | { kind: 'closed' }
  /** It has failed for so long that the webhook is to be disabled. */
  | { kind: 'failing' };

export interface Reduced {
  /** The same object if the step changed nothing. */
  circuit: Circuit;
  signals: readonly CircuitSignal[];
}

/** The circuit of a webhook that has not failed. */
export const CLOSED: Circuit = {
  phase: { kind: 'closed', sinceMs: null },
  epoch: 0,
  failures: 0,
  failingSinceMs: null,
  lastFailureMs: null,
  lastError: null,
  countsForAlert: false,
  openingNotified: false,
  pausedUntilMs: null,
  pauses: 0,
};

type ResultStep = Extract<CircuitStep, { kind: 'result' }>;

export function reduce(
  before: Circuit,
  step: CircuitStep,
  nowMs: number,
  policy: CircuitPolicy,
): Reduced {
  const circuit = withoutFutureTimes(before, nowMs);
  const { phase } = circuit;
  switch (step.kind) {
    case 'close':
      return isHealthy(circuit) && circuit.pausedUntilMs === null
        ? withoutSignals(circuit)
        : closed({ ...circuit, pausedUntilMs: null }, nowMs);
    case 'requestProbe': {
      const unpaused =
        circuit.pausedUntilMs === null ? circuit : { ...circuit, pausedUntilMs: null };
      if (phase.kind !== 'open') return withoutSignals(unpaused);
      const sinceMs = nowMs - policy.openMs;
      const requested = { kind: 'open', sinceMs, requestedProbe: step.deliveryId } as const;
      return withoutSignals({ ...unpaused, phase: requested });
    }
    case 'claim': {
      if (!canClaimProbe(before, nowMs, policy)) return withoutSignals(circuit);
      const { token: probe, leaseMs } = step;
      const claimed = { kind: 'half_open', sinceMs: nowMs, probe, leaseMs } as const;
      return withoutSignals({ ...circuit, phase: { ...claimed, ...requestedProbeOf(phase) } });
    }
    case 'result': {
      const paused = asksForPause(step) ? withPause(circuit, step.pauseMs ?? null, nowMs) : circuit;
      // Requests that were sent before the pause say no more than the one that asked for it.
      if (step.result === 'failure' && asksForPause(step) && isPaused(circuit, nowMs)) {
        if (!isProbe(circuit, step)) return withoutSignals(paused);
      }
      return phase.kind === 'closed'
        ? afterRequest(paused, step, nowMs, policy)
        : afterProbe(paused, step, nowMs, policy);
    }
  }
}

const asksForPause = ({ result, pauseMs }: ResultStep): boolean =>
  result === 'throttled' || (pauseMs ?? null) !== null;

/**
 * After the clock has stepped back, nothing says how long the circuit has been open, and an early
 * probe does no harm. A second probe would: there the lease begins again.
 */
function canClaimProbe(circuit: Circuit, nowMs: number, policy: CircuitPolicy): boolean {
  const { kind, sinceMs } = circuit.phase;
  if (sinceMs !== null && sinceMs > nowMs) return kind === 'open';
  return nextProbeAtMs(circuit, policy) <= nowMs;
}

/** When the next probe may be claimed; Infinity while it is closed and needs none. */
export function nextProbeAtMs(
  { phase, pausedUntilMs }: Circuit,
  { openMs }: CircuitPolicy,
): number {
  switch (phase.kind) {
    case 'closed':
      return Number.POSITIVE_INFINITY;
    case 'open':
      return Math.max(phase.sinceMs + openMs, pausedUntilMs ?? -Infinity);
    case 'half_open':
      // The lease outlives every request, so the node that had the probe cannot send it any more.
      return phase.sinceMs + phase.leaseMs;
  }
}

/** Whether a success would change nothing. */
export const isHealthy = ({ phase, failures, pauses }: Circuit): boolean =>
  phase.kind === 'closed' && failures === 0 && pauses === 0;

/**
 * When the clock has stepped back, times in the future become now, so that no duration gets longer
 * by that.
 */
export function withoutFutureTimes(circuit: Circuit, nowMs: number): Circuit {
  const { phase, failingSinceMs, lastFailureMs, pausedUntilMs } = circuit;
  const latest = Math.max(phase.sinceMs ?? 0, failingSinceMs ?? 0, lastFailureMs ?? 0);
  const latestEndMs = nowMs + MAX_RETRY_AFTER_MS;
  if (latest <= nowMs && (pausedUntilMs ?? -Infinity) <= latestEndMs) return circuit;
  return {
    ...circuit,
    phase: { ...phase, sinceMs: earlier(phase.sinceMs, nowMs) } as Phase,
    failingSinceMs: earlier(failingSinceMs, nowMs),
    lastFailureMs: earlier(lastFailureMs, nowMs),
    pausedUntilMs: earlier(pausedUntilMs, latestEndMs),
  };
}

/** The result of a request while the circuit is closed. */
function afterRequest(
  circuit: Circuit,
  step: ResultStep,
  nowMs: number,
  policy: CircuitPolicy,
): Reduced {
  const isCurrent = step.epoch === null || step.epoch === circuit.epoch;
  if (!isCurrent || step.result === 'neutral' || step.result === 'throttled') {
    return withoutSignals(circuit);
  }
  if (step.result === 'success') {
    return withoutSignals(isHealthy(circuit) ? circuit : withoutFailures(circuit));
  }
  const failed = withFailure(circuit, step, nowMs, policy);
  if (failed.failures < policy.failureThreshold) return withoutSignals(failed);
  return opened({ ...failed, epoch: circuit.epoch + 1 }, nowMs, policy);
}

const isProbe = ({ phase }: Circuit, { probe }: ResultStep): boolean =>
  phase.kind === 'half_open' && probe === phase.probe;

/** The result of a request while the circuit is open or half-open. */
function afterProbe(
  circuit: Circuit,
  step: ResultStep,
  nowMs: number,
  policy: CircuitPolicy,
): Reduced {
  if (!isProbe(circuit, step)) return withoutSignals(circuit);
  switch (step.result) {
    case 'success':
      return closed(circuit, nowMs);
    case 'throttled':
      return closed(circuit, nowMs, circuit.pauses);
    case 'failure':
      return opened(withFailure(circuit, step, nowMs, policy), nowMs, policy);
    case 'neutral':
      // It said nothing about the receiver: the next probe comes after the same time.
      return withoutSignals({ ...circuit, phase: { kind: 'open', sinceMs: nowMs } });
  }
}

function withFailure(
  circuit: Circuit,
  { error, isSystemEvent }: ResultStep,
  nowMs: number,
  { openMs, disableAfterMs }: CircuitPolicy,
): Circuit {
  // Two failures with a long pause between them do not mean that the webhook fails all the time.
  const pauseMs = nowMs - (circuit.lastFailureMs ?? nowMs);
  const isNewSeries = pauseMs > disableAfterMs + openMs;
  return {
    ...circuit,
    failures: circuit.failures + 1,
    failingSinceMs: isNewSeries ? nowMs : (circuit.failingSinceMs ?? nowMs),
    lastFailureMs: nowMs,
    lastError: error,
    countsForAlert: circuit.countsForAlert || !isSystemEvent,
  };
}

/**
 * Signalled once until it closes, and not while only system events have failed: the signal becomes a
 * system event, so it would repeat itself for ever.
 */
function opened(circuit: Circuit, nowMs: number, policy: CircuitPolicy): Reduced {
  const { failures, lastError, countsForAlert, openingNotified, failingSinceMs } = circuit;
  const signals: CircuitSignal[] = [];
  if (countsForAlert && !openingNotified) {
    signals.push({ kind: 'opened', failures, untilMs: nowMs + policy.openMs, lastError });
  }
  if (nowMs - (failingSinceMs ?? nowMs) >= policy.disableAfterMs) signals.push({ kind: 'failing' });
  const phase = { kind: 'open', sinceMs: nowMs } as const;
  return {
    circuit: { ...circuit, phase, openingNotified: openingNotified || countsForAlert },
    signals,
  };
}

/** @param pauses since the last success */
function closed(circuit: Circuit, nowMs: number, pauses = 0): Reduced {
  const wasClosed = circuit.phase.kind === 'closed';
  return {
    circuit: {
      ...withoutFailures(circuit),
      pauses,
      phase: wasClosed ? circuit.phase : { kind: 'closed', sinceMs: nowMs },
      epoch: wasClosed ? circuit.epoch : circuit.epoch + 1,
      openingNotified: false,
    },
    signals: circuit.openingNotified ? [{ kind: 'closed' }] : [],
  };
}

/** The requested probe, to be spread into another phase; without it, nothing. */
export const requestedProbeOf = (phase: Phase): { requestedProbe?: string } =>
  phase.kind === 'closed' || phase.requestedProbe === undefined
    ? {}
    : { requestedProbe: phase.requestedProbe };

const withoutFailures = (circuit: Circuit): Circuit => ({
  ...circuit,
  failures: 0,
  failingSinceMs: null,
  lastFailureMs: null,
  lastError: null,
  countsForAlert: false,
  pauses: 0,
});

const withoutSignals = (circuit: Circuit): Reduced => ({ circuit, signals: [] });
const earlier = (ms: number | null, nowMs: number): number | null =>
  ms === null ? null : Math.min(ms, nowMs);
