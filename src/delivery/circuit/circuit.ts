/**
 * The circuit breaker of one webhook, as a reducer: what a step makes of a circuit, and what is to be
 * told about it. It is shared by all processes through the store, which applies one step after the
 * other; what time it is comes from the store, too, and may step back.
 *
 * - closed: failures in a row are counted over all processes; at the threshold it opens.
 * - open: nothing is sent until the open time is over. Then one process may claim the probe.
 * - half-open: one request, by whoever holds the probe. Its success closes, its failure opens again.
 *
 * A result counts only for the period that its request was started in (`epoch`), and while the
 * circuit is not closed only that of the probe: what was in flight when it opened neither opens it
 * again nor closes it.
 */
export interface Circuit {
  phase: Phase;
  /** Grows with each opening and each closing: even while it is closed. */
  epoch: number;
  /** In a row, over all processes, probes included. */
  failures: number;
  /** When the first of these failures came; null: the last result was a success. */
  failingSinceMs: number | null;
  lastFailureMs: number | null;
  /** Error class of the last failure. */
  lastError: string | null;
  /** Whether one of these failures was of an ordinary event, and not of one about the system. */
  countsForAlert: boolean;
  /** Whether the opening was told: only then the closing is. */
  openingNotified: boolean;
}

/** `requestedProbe`: the delivery that a person wants sent, and that is to be the probe. */
export type Phase =
  /** Since when; null: it has never been open. */
  | { kind: 'closed'; sinceMs: number | null }
  | { kind: 'open'; sinceMs: number; requestedProbe?: string }
  /** Since the probe was claimed, whose holder has so long for it. */
  | { kind: 'half_open'; sinceMs: number; probe: string; leaseMs: number; requestedProbe?: string };

export interface CircuitPolicy {
  /** Failures in a row that open it. */
  failureThreshold: number;
  /** How long it stays open before a probe. */
  openMs: number;
  /** With nothing but failures for so long, the webhook is to be switched off. */
  disableAfterMs: number;
}

/** What the result of a request says about its receiver; see `verdictOf`. */
export type Verdict = 'success' | 'failure' | 'neutral';

export type CircuitStep =
  | {
      kind: 'result';
      verdict: Verdict;
      error: string | null;
      /** The epoch in which the request was started; null: there was nothing known against it. */
      epoch: number | null;
      /** The token under which it was sent as the probe. */
      probe: string | null;
      /** Whether what was sent is an event about the system itself. */
      isSystemEvent: boolean;
    }
  /** Somebody wants to send the probe, and is done with it within the lease. */
  | { kind: 'claim'; token: string; leaseMs: number }
  /** A person wants this delivery sent now: the open time is over, and it is the probe. */
  | { kind: 'expire'; requestedProbe: string }
  /** Somebody has repaired the webhook: forget everything. */
  | { kind: 'close' };

export type CircuitSignal =
  | { kind: 'opened'; failures: number; untilMs: number; lastError: string | null }
  | { kind: 'closed' }
  /** It has failed for so long that the webhook is to be switched off. */
  | { kind: 'failing' };

export interface Reduced {
  /** The same object if the step changed nothing. */
  circuit: Circuit;
  signals: readonly CircuitSignal[];
}

/** The circuit of a webhook that nothing is known against. */
export const CLOSED: Circuit = {
  phase: { kind: 'closed', sinceMs: null },
  epoch: 0,
  failures: 0,
  failingSinceMs: null,
  lastFailureMs: null,
  lastError: null,
  countsForAlert: false,
  openingNotified: false,
};

type Result = Extract<CircuitStep, { kind: 'result' }>;

export function reduce(
  before: Circuit,
  step: CircuitStep,
  nowMs: number,
  policy: CircuitPolicy,
): Reduced {
  const circuit = rebased(before, nowMs);
  switch (step.kind) {
    case 'close':
      return isHealthy(circuit) ? quietly(circuit) : closed(circuit, nowMs);
    case 'expire':
      return quietly(
        circuit.phase.kind === 'open'
          ? {
              ...circuit,
              phase: {
                kind: 'open',
                sinceMs: nowMs - policy.openMs,
                requestedProbe: step.requestedProbe,
              },
            }
          : circuit,
      );
    case 'claim':
      return mayProbe(before, nowMs, policy)
        ? quietly({
            ...circuit,
            phase: {
              kind: 'half_open',
              sinceMs: nowMs,
              probe: step.token,
              leaseMs: step.leaseMs,
              ...requestedProbeOf(circuit.phase),
            },
          })
        : quietly(circuit);
    case 'result':
      return circuit.phase.kind === 'closed'
        ? ofOrdinaryRequest(circuit, step, nowMs, policy)
        : ofProbe(circuit, step, nowMs, policy);
  }
}

/**
 * After a step back of the clock nobody knows how long it has been open, and an early probe does no
 * harm. A second probe does: there the lease begins again.
 */
function mayProbe(circuit: Circuit, nowMs: number, policy: CircuitPolicy): boolean {
  const { kind, sinceMs } = circuit.phase;
  if (sinceMs !== null && sinceMs > nowMs) return kind === 'open';
  return nextProbeAtMs(circuit, policy) <= nowMs;
}

/** When the next probe may be claimed; Infinity while it is closed and needs none. */
export function nextProbeAtMs({ phase }: Circuit, { openMs }: CircuitPolicy): number {
  switch (phase.kind) {
    case 'closed':
      return Number.POSITIVE_INFINITY;
    case 'open':
      return phase.sinceMs + openMs;
    case 'half_open':
      // Its holder is dead or stopped, and can send it no more: the lease is longer than a request.
      return phase.sinceMs + phase.leaseMs;
  }
}

/** Whether a success would change nothing. */
export const isHealthy = ({ phase, failures }: Circuit): boolean =>
  phase.kind === 'closed' && failures === 0;

/**
 * No moment lies in the future: when the clock has stepped back, times that it has not reached yet
 * begin now, so that nothing lasts longer than its length from here on.
 */
export function rebased(circuit: Circuit, nowMs: number): Circuit {
  const { phase, failingSinceMs, lastFailureMs } = circuit;
  const latest = Math.max(phase.sinceMs ?? 0, failingSinceMs ?? 0, lastFailureMs ?? 0);
  if (latest <= nowMs) return circuit;
  return {
    ...circuit,
    phase: { ...phase, sinceMs: earlier(phase.sinceMs, nowMs) } as Phase,
    failingSinceMs: earlier(failingSinceMs, nowMs),
    lastFailureMs: earlier(lastFailureMs, nowMs),
  };
}

function ofOrdinaryRequest(
  circuit: Circuit,
  result: Result,
  nowMs: number,
  policy: CircuitPolicy,
): Reduced {
  const isOfNow = result.epoch === null || result.epoch === circuit.epoch;
  if (!isOfNow || result.verdict === 'neutral') return quietly(circuit);
  if (result.verdict === 'success') {
    return circuit.failures === 0 ? quietly(circuit) : quietly(forgiven(circuit));
  }
  const failed = withFailure(circuit, result, nowMs, policy);
  if (failed.failures < policy.failureThreshold) return quietly(failed);
  return opened({ ...failed, epoch: circuit.epoch + 1 }, nowMs, policy);
}

function ofProbe(circuit: Circuit, result: Result, nowMs: number, policy: CircuitPolicy): Reduced {
  const isProbe = circuit.phase.kind === 'half_open' && result.probe === circuit.phase.probe;
  if (!isProbe) return quietly(circuit);
  switch (result.verdict) {
    case 'success':
      return closed(circuit, nowMs);
    case 'failure':
      return opened(withFailure(circuit, result, nowMs, policy), nowMs, policy);
    case 'neutral':
      // It said nothing about the receiver: the next probe comes after the same time.
      return quietly({ ...circuit, phase: { kind: 'open', sinceMs: nowMs } });
  }
}

function withFailure(
  circuit: Circuit,
  { error, isSystemEvent }: Result,
  nowMs: number,
  { openMs, disableAfterMs }: CircuitPolicy,
): Circuit {
  // Two failures with a long silence between them do not make a webhook that fails all the time.
  const silenceMs = nowMs - (circuit.lastFailureMs ?? nowMs);
  const isNewRun = silenceMs > disableAfterMs + openMs;
  return {
    ...circuit,
    failures: circuit.failures + 1,
    failingSinceMs: isNewRun ? nowMs : (circuit.failingSinceMs ?? nowMs),
    lastFailureMs: nowMs,
    lastError: error,
    countsForAlert: circuit.countsForAlert || !isSystemEvent,
  };
}

/** Told once in an open time, and not if all that failed were events about the system: no loops. */
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

function closed(circuit: Circuit, nowMs: number): Reduced {
  const wasClosed = circuit.phase.kind === 'closed';
  return {
    circuit: {
      ...forgiven(circuit),
      phase: wasClosed ? circuit.phase : { kind: 'closed', sinceMs: nowMs },
      epoch: wasClosed ? circuit.epoch : circuit.epoch + 1,
      openingNotified: false,
    },
    signals: circuit.openingNotified ? [{ kind: 'closed' }] : [],
  };
}

/** The requested probe, as a part of another phase; absent if it is nothing. */
export const requestedProbeOf = (phase: Phase): { requestedProbe?: string } =>
  phase.kind === 'closed' || phase.requestedProbe === undefined
    ? {}
    : { requestedProbe: phase.requestedProbe };

const forgiven = (circuit: Circuit): Circuit => ({
  ...circuit,
  failures: 0,
  failingSinceMs: null,
  lastFailureMs: null,
  lastError: null,
  countsForAlert: false,
});

const quietly = (circuit: Circuit): Reduced => ({ circuit, signals: [] });
const earlier = (ms: number | null, nowMs: number): number | null =>
  ms === null ? null : Math.min(ms, nowMs);
