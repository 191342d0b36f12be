import { describe, expect, it } from 'vitest';
import {
  type Circuit,
  type CircuitSignal,
  type CircuitStep,
  CLOSED,
  reduce,
  type Verdict,
} from './circuit.js';

const policy = { failureThreshold: 3, openMs: 1_000, disableAfterMs: 10_000 };
const NOW = 50_000;

const result = (verdict: Verdict, more: object = {}): CircuitStep => ({
  kind: 'result',
  verdict,
  error: verdict === 'failure' ? 'timeout' : null,
  epoch: null,
  probe: null,
  isSystemEvent: false,
  ...more,
});
const failure = result('failure');
const success = result('success');
const claim = (token: string): CircuitStep => ({ kind: 'claim', token, leaseMs: 500 });
const want = (requestedProbe: string): CircuitStep => ({
  kind: 'expire',
  requestedProbe,
});
const ofProbe = (verdict: Verdict, probe = 'p1') => result(verdict, { probe });

/** Steps at times, from a healthy circuit on. */
function run(...steps: [atMs: number, step: CircuitStep][]) {
  const signals: CircuitSignal[] = [];
  let circuit: Circuit = CLOSED;
  for (const [atMs, step] of steps) {
    const reduced = reduce(circuit, step, atMs, policy);
    signals.push(...reduced.signals);
    circuit = reduced.circuit;
  }
  return { circuit, signals, state: circuit.phase.kind, told: signals.map(({ kind }) => kind) };
}

type Steps = [atMs: number, step: CircuitStep][];
const failures = (count: number, atMs = NOW): Steps =>
  Array.from({ length: count }, () => [atMs, failure]);
const OPEN: Steps = failures(3);
const PROBED: Steps = [...OPEN, [NOW + 1_000, claim('p1')]];
const RECOVERED: Steps = [...PROBED, [NOW + 1_010, ofProbe('success')]];

describe('a circuit', () => {
  it.each<[name: string, steps: Steps, state: string, failures: number, told: string[]]>([
    ['stays closed below the threshold', failures(2), 'closed', 2, []],
    ['opens at the threshold', OPEN, 'open', 3, ['opened']],
    [
      'begins to count again after a success',
      [...failures(2), [NOW, success], ...failures(2)],
      'closed',
      2,
      [],
    ],
    [
      'does not count what says nothing of the receiver',
      [...failures(2), [NOW, result('neutral')]],
      'closed',
      2,
      [],
    ],
    [
      'does not count what was in flight when it opened',
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
    ['gives no probe while it is open', [...OPEN, [NOW + 999, claim('p1')]], 'open', 3, ['opened']],
    ['gives the probe when the open time is over', PROBED, 'half_open', 3, ['opened']],
    [
      'is not closed by what is not the probe',
      [...PROBED, [NOW + 1_001, success]],
      'half_open',
      3,
      ['opened'],
    ],
    [
      'is not opened again by what is not the probe',
      [...PROBED, [NOW + 1_001, failure]],
      'half_open',
      3,
      ['opened'],
    ],
    ['closes when the probe succeeds', RECOVERED, 'closed', 0, ['opened', 'closed']],
    [
      'stays open, and says no more, when the probe fails',
      [...PROBED, [NOW + 1_010, ofProbe('failure')]],
      'open',
      4,
      ['opened'],
    ],
    [
      'stays open when the probe says nothing',
      [...PROBED, [NOW + 1_010, ofProbe('neutral')]],
      'open',
      3,
      ['opened'],
    ],
    [
      'does not count failures of before it closed',
      [...RECOVERED, [NOW + 1_020, result('failure', { epoch: 0 })]],
      'closed',
      0,
      ['opened', 'closed'],
    ],
    [
      'counts failures of after it closed',
      [...RECOVERED, [NOW + 1_020, result('failure', { epoch: 2 })]],
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
      'closes when it is repaired',
      [...OPEN, [NOW + 1, { kind: 'close' }]],
      'closed',
      0,
      ['opened', 'closed'],
    ],
    [
      'gives the probe at once when a person wants it',
      [...OPEN, [NOW + 1, want('dlv_1')], [NOW + 1, claim('p1')]],
      'half_open',
      3,
      ['opened'],
    ],
    [
      'gives no second probe when a person wants it',
      [
        ...PROBED,
        [NOW + 1_001, want('dlv_1')],
        [NOW + 1_001, claim('p2')],
        [NOW + 1_002, ofProbe('success')],
      ],
      'closed',
      0,
      ['opened', 'closed'],
    ],
    [
      'forgets its failures when it is repaired',
      [...failures(2), [NOW, { kind: 'close' }]],
      'closed',
      0,
      [],
    ],
  ])('%s', (_, steps, state, count, told) => {
    const after = run(...steps);
    expect([after.state, after.circuit.failures, after.told]).toEqual([state, count, told]);
  });

  it('knows which delivery is wanted as the probe, whoever claims it, until it has a result', () => {
    const wanted: Steps = [...OPEN, [NOW + 1, want('dlv_1')], [NOW + 2, want('dlv_2')]];
    expect(run(...wanted).circuit.phase).toMatchObject({ kind: 'open', requestedProbe: 'dlv_2' });
    const claimed: Steps = [...wanted, [NOW + 3, claim('p1')]];
    expect(run(...claimed).circuit.phase).toMatchObject({ probe: 'p1', requestedProbe: 'dlv_2' });
    const lapsed: Steps = [...claimed, [NOW + 503, claim('p2')]];
    expect(run(...lapsed).circuit.phase).toMatchObject({ probe: 'p2', requestedProbe: 'dlv_2' });
    for (const verdict of ['success', 'failure', 'neutral'] as const) {
      const { phase } = run(...claimed, [NOW + 4, ofProbe(verdict)]).circuit;
      expect(phase).not.toHaveProperty('requestedProbe');
    }
  });

  it('gives the probe to nobody else before its lease ends, and then to one', () => {
    const early = reduce(run(...PROBED).circuit, claim('p2'), NOW + 1_499, policy).circuit;
    expect(early.phase).toMatchObject({ probe: 'p1' });
    const late = reduce(early, claim('p2'), NOW + 1_500, policy).circuit;
    expect(late.phase).toMatchObject({ probe: 'p2' });
    expect(reduce(late, ofProbe('success', 'p1'), NOW + 1_501, policy).circuit).toBe(late);
  });

  it('says until when it is open, and why', () => {
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

  it('makes nobody wait for what cannot be known: the probe may go', () => {
    expect(reduce(run(...OPEN).circuit, claim('p1'), PAST, policy).circuit.phase).toEqual({
      kind: 'half_open',
      sinceMs: PAST,
      probe: 'p1',
      leaseMs: 500,
    });
  });

  it('gives no second probe, but lets the lease of the first begin again', () => {
    const steps: Steps = [...PROBED, [PAST, claim('p2')]];
    expect(run(...steps, [PAST + 499, claim('p2')]).circuit.phase).toMatchObject({ probe: 'p1' });
    expect(run(...steps, [PAST + 500, claim('p2')]).circuit.phase).toMatchObject({ probe: 'p2' });
  });

  it('neither hides failures nor makes them more', () => {
    expect(run([NOW, failure], [PAST, failure]).circuit).toMatchObject({
      failures: 2,
      failingSinceMs: PAST,
    });
    expect(run([NOW, failure], [PAST, failure], [NOW, failure]).told).toEqual(['opened']);
  });
});

describe('a webhook that hears only events about the system', () => {
  const silent = result('failure', { isSystemEvent: true });

  it('opens and closes without a word, so that it never hears of itself', () => {
    const after = run(
      [NOW, silent],
      [NOW, silent],
      [NOW, silent],
      [NOW + 1_000, claim('p1')],
      [NOW + 1_001, ofProbe('success')],
    );
    expect([after.state, after.told]).toEqual(['closed', []]);
  });

  it('is spoken of when one of its failures was of an ordinary event', () => {
    expect(run([NOW, silent], [NOW, failure], [NOW, silent]).told).toEqual(['opened']);
    const late = run(
      [NOW, silent],
      [NOW, silent],
      [NOW, silent],
      [NOW + 1_000, claim('p1')],
      [NOW + 1_001, ofProbe('failure')],
    );
    expect(late.told).toEqual(['opened']);
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

  it('is to be switched off after the time for that', () => {
    expect(run(...OPEN, ...probes(9)).told).toEqual(['opened']);
    expect(run(...OPEN, ...probes(10)).told).toEqual(['opened', 'failing']);
  });

  it('is not to be switched off if there was a success in between', () => {
    const after = run(...failures(2), [NOW + 5_000, success], ...failures(3, NOW + 10_000));
    expect(after.told).toEqual(['opened']);
  });

  it('is forgiven what lies before a long silence', () => {
    const after = run(...OPEN, [NOW + 20_000, claim('p1')], [NOW + 20_000, ofProbe('failure')]);
    expect(after.told).toEqual(['opened']);
  });
});
