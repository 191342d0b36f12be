import { describe, expect, it } from 'vitest';
import type { AttemptResult } from '../../outbound/attempt-result.js';
import {
  type Circuit,
  type CircuitResult,
  circuitResultOf,
  type CircuitSignal,
  type CircuitStep,
  CLOSED,
  reduce,
} from './circuit.js';

const responded = (statusCode: number): AttemptResult => ({
  kind: 'responded',
  statusCode,
  durationMs: 1,
  body: null,
  retryAfter: null,
});

describe(circuitResultOf.name, () => {
  it.each([
    [200, 'success'],
    [299, 'success'],
    [302, 'failure'],
    [400, 'failure'],
    [410, 'neutral'],
    [429, 'throttled'],
    [500, 'failure'],
    [503, 'failure'],
  ])('takes status %d as %s', (statusCode, result) => {
    expect(circuitResultOf(responded(statusCode))).toBe(result);
  });

  it.each([
    ['dns', 'failure'],
    ['connect', 'failure'],
    ['tls', 'failure'],
    ['timeout', 'failure'],
    ['http', 'failure'],
    ['bad_response', 'failure'],
    ['blocked', 'neutral'],
  ] as const)('takes the error %s as %s', (error, result) => {
    expect(circuitResultOf({ kind: 'failed', error, message: '', durationMs: 1 })).toBe(result);
  });
});

const policy = { failureThreshold: 3, openMs: 1_000, disableAfterMs: 10_000 };
const NOW = 50_000;

const resultStep = (result: CircuitResult, more: object = {}): CircuitStep => ({
  kind: 'result',
  result,
  error: result === 'failure' ? 'timeout' : null,
  epoch: null,
  probe: null,
  isSystemEvent: false,
  ...more,
});
const failure = resultStep('failure');
const success = resultStep('success');
const claim = (token: string): CircuitStep => ({ kind: 'claim', token, leaseMs: 500 });
const request = (deliveryId: string): CircuitStep => ({ kind: 'requestProbe', deliveryId });
const ofProbe = (result: CircuitResult, probe = 'p1') => resultStep(result, { probe });

/** Applies steps at these times to a healthy circuit. */
function run(...steps: [atMs: number, step: CircuitStep][]) {
  const signals: CircuitSignal[] = [];
  let circuit: Circuit = CLOSED;
  for (const [atMs, step] of steps) {
    const reduced = reduce(circuit, step, atMs, policy);
    signals.push(...reduced.signals);
    circuit = reduced.circuit;
  }
  return { circuit, signals, state: circuit.phase.kind, kinds: signals.map(({ kind }) => kind) };
}

type Steps = [atMs: number, step: CircuitStep][];
const failures = (count: number, atMs = NOW): Steps =>
  Array.from({ length: count }, () => [atMs, failure]);
const OPEN: Steps = failures(3);
const PROBED: Steps = [...OPEN, [NOW + 1_000, claim('p1')]];
const RECOVERED: Steps = [...PROBED, [NOW + 1_010, ofProbe('success')]];

describe('a circuit', () => {
  it.each<[name: string, steps: Steps, state: string, failures: number, signals: string[]]>([
    ['stays closed below the threshold', failures(2), 'closed', 2, []],
    ['opens at the threshold', OPEN, 'open', 3, ['opened']],
    [
      'starts to count again after a success',
      [...failures(2), [NOW, success], ...failures(2)],
      'closed',
      2,
      [],
    ],
    [
      'does not count a neutral result',
      [...failures(2), [NOW, resultStep('neutral')]],
      'closed',
      2,
      [],
    ],
    [
      'does not count a failure that was in flight when it opened',
      [...OPEN, [NOW, failure]],
      'open',
      3,
      ['opened'],
    ],
    [
      'is not closed by a success that was in flight when it opened',
      [...OPEN, [NOW, success]],
      'open',
      3,
      ['opened'],
    ],
    [
      'refuses the probe while it is open',
      [...OPEN, [NOW + 999, claim('p1')]],
      'open',
      3,
      ['opened'],
    ],
    ['grants the probe when the open time is over', PROBED, 'half_open', 3, ['opened']],
    [
      'is not closed by a request that is not the probe',
      [...PROBED, [NOW + 1_001, success]],
      'half_open',
      3,
      ['opened'],
    ],
    [
      'is not opened again by a request that is not the probe',
      [...PROBED, [NOW + 1_001, failure]],
      'half_open',
      3,
      ['opened'],
    ],
    ['closes when the probe succeeds', RECOVERED, 'closed', 0, ['opened', 'closed']],
    [
      'stays open, without another signal, when the probe fails',
      [...PROBED, [NOW + 1_010, ofProbe('failure')]],
      'open',
      4,
      ['opened'],
    ],
    [
      'stays open when the result of the probe is neutral',
      [...PROBED, [NOW + 1_010, ofProbe('neutral')]],
      'open',
      3,
      ['opened'],
    ],
    [
      'does not count failures from before it closed',
      [...RECOVERED, [NOW + 1_020, resultStep('failure', { epoch: 0 })]],
      'closed',
      0,
      ['opened', 'closed'],
    ],
    [
      'counts failures from after it closed',
      [...RECOVERED, [NOW + 1_020, resultStep('failure', { epoch: 2 })]],
      'closed',
      1,
      ['opened', 'closed'],
    ],
    [
      'ignores a second success of the probe',
      [...RECOVERED, [NOW + 1_020, ofProbe('success')]],
      'closed',
      0,
      ['opened', 'closed'],
    ],
    [
      'closes when the webhook is repaired',
      [...OPEN, [NOW + 1, { kind: 'close' }]],
      'closed',
      0,
      ['opened', 'closed'],
    ],
    [
      'grants the probe at once when a user requests it',
      [...OPEN, [NOW + 1, request('dlv_1')], [NOW + 1, claim('p1')]],
      'half_open',
      3,
      ['opened'],
    ],
    [
      'grants no second probe when a user requests it',
      [
        ...PROBED,
        [NOW + 1_001, request('dlv_1')],
        [NOW + 1_001, claim('p2')],
        [NOW + 1_002, ofProbe('success')],
      ],
      'closed',
      0,
      ['opened', 'closed'],
    ],
    [
      'forgets its failures when the webhook is repaired',
      [...failures(2), [NOW, { kind: 'close' }]],
      'closed',
      0,
      [],
    ],
  ])('%s', (_, steps, state, count, signals) => {
    const after = run(...steps);
    expect([after.state, after.circuit.failures, after.kinds]).toEqual([state, count, signals]);
  });

  it('keeps the requested probe over claims, until there is a result', () => {
    const requested: Steps = [...OPEN, [NOW + 1, request('dlv_1')], [NOW + 2, request('dlv_2')]];
    expect(run(...requested).circuit.phase).toMatchObject({
      kind: 'open',
      requestedProbe: 'dlv_2',
    });
    const claimed: Steps = [...requested, [NOW + 3, claim('p1')]];
    expect(run(...claimed).circuit.phase).toMatchObject({ probe: 'p1', requestedProbe: 'dlv_2' });
    const again: Steps = [...claimed, [NOW + 503, claim('p2')]];
    expect(run(...again).circuit.phase).toMatchObject({ probe: 'p2', requestedProbe: 'dlv_2' });
    for (const result of ['success', 'failure', 'neutral'] as const) {
      const { phase } = run(...claimed, [NOW + 4, ofProbe(result)]).circuit;
      expect(phase).not.toHaveProperty('requestedProbe');
    }
  });

  it('grants the probe again when its lease has ended, and only then', () => {
    const early = reduce(run(...PROBED).circuit, claim('p2'), NOW + 1_499, policy).circuit;
    expect(early.phase).toMatchObject({ probe: 'p1' });
    const late = reduce(early, claim('p2'), NOW + 1_500, policy).circuit;
    expect(late.phase).toMatchObject({ probe: 'p2' });
    expect(reduce(late, ofProbe('success', 'p1'), NOW + 1_501, policy).circuit).toBe(late);
  });

  it('signals until when it is open, and the last error', () => {
    expect(run(...OPEN).signals).toEqual([
      { kind: 'opened', failures: 3, untilMs: NOW + 1_000, lastError: 'timeout' },
    ]);
  });

  it('is the same object after a step that changes nothing', () => {
    expect(reduce(CLOSED, success, NOW, policy).circuit).toBe(CLOSED);
    const { circuit } = run(...OPEN);
    expect(reduce(circuit, failure, NOW + 1, policy).circuit).toBe(circuit);
  });
});

describe('a clock that steps back', () => {
  const PAST = 1_000;

  it('grants the probe of an open circuit at once', () => {
    expect(reduce(run(...OPEN).circuit, claim('p1'), PAST, policy).circuit.phase).toEqual({
      kind: 'half_open',
      sinceMs: PAST,
      probe: 'p1',
      leaseMs: 500,
    });
  });

  it('grants no second probe, but starts the lease of the first again', () => {
    const steps: Steps = [...PROBED, [PAST, claim('p2')]];
    expect(run(...steps, [PAST + 499, claim('p2')]).circuit.phase).toMatchObject({ probe: 'p1' });
    expect(run(...steps, [PAST + 500, claim('p2')]).circuit.phase).toMatchObject({ probe: 'p2' });
  });

  it('neither loses failures nor counts them twice', () => {
    expect(run([NOW, failure], [PAST, failure]).circuit).toMatchObject({
      failures: 2,
      failingSinceMs: PAST,
    });
    expect(run([NOW, failure], [PAST, failure], [NOW, failure]).kinds).toEqual(['opened']);
  });
});

describe('a webhook that receives only system events', () => {
  const ofSystemEvent = resultStep('failure', { isSystemEvent: true });

  it('opens and closes without signals, so that none is sent to itself', () => {
    const after = run(
      [NOW, ofSystemEvent],
      [NOW, ofSystemEvent],
      [NOW, ofSystemEvent],
      [NOW + 1_000, claim('p1')],
      [NOW + 1_001, ofProbe('success')],
    );
    expect([after.state, after.kinds]).toEqual(['closed', []]);
  });

  it('signals when one of its failures was of another event', () => {
    expect(run([NOW, ofSystemEvent], [NOW, failure], [NOW, ofSystemEvent]).kinds).toEqual([
      'opened',
    ]);
    const late = run(
      [NOW, ofSystemEvent],
      [NOW, ofSystemEvent],
      [NOW, ofSystemEvent],
      [NOW + 1_000, claim('p1')],
      [NOW + 1_001, ofProbe('failure')],
    );
    expect(late.kinds).toEqual(['opened']);
  });
});

describe('a webhook that only fails', () => {
  const probes = (count: number): Steps =>
    Array.from({ length: count }, (_, index): Steps => {
      const atMs = NOW + 1_000 * (index + 1);
      return [
        [atMs, claim('p1')],
        [atMs, ofProbe('failure')],
      ];
    }).flat();

  it('is to be disabled after the configured time', () => {
    expect(run(...OPEN, ...probes(9)).kinds).toEqual(['opened']);
    expect(run(...OPEN, ...probes(10)).kinds).toEqual(['opened', 'failing']);
  });

  it('is not to be disabled if there was a success in between', () => {
    const after = run(...failures(2), [NOW + 5_000, success], ...failures(3, NOW + 10_000));
    expect(after.kinds).toEqual(['opened']);
  });

  it('does not count failures from before a long pause', () => {
    const after = run(...OPEN, [NOW + 20_000, claim('p1')], [NOW + 20_000, ofProbe('failure')]);
    expect(after.kinds).toEqual(['opened']);
  });
});
