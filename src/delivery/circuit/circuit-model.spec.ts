import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Circuit, type CircuitStep, CLOSED, reduce, type Verdict } from './circuit.js';
import { CircuitView, type CircuitPermit } from './circuit-view.js';

/**
 * Several processes on one store, each with what it knows of one circuit. Requests end in any order,
 * news and writes arrive late, processes die, and the store's clock jumps.
 */
const POLICY = { failureThreshold: 3, openMs: 1_000, disableAfterMs: 1_000_000 };
const TIMEOUT_MS = 300;
const START_MS = 100;
const LEASE_MS = TIMEOUT_MS + START_MS + 100;

interface Request {
  permit: CircuitPermit;
  sentAtMs: number;
}

class Process {
  known = new CircuitView(POLICY);
  requests: Request[] = [];
  /** On their way to the store, in order. */
  writes: CircuitStep[] = [];
}

class Cluster {
  private ownMs = 1_000_000;
  private skewMs = 0;
  private tokens = 0;
  private circuit: Circuit = CLOSED;
  private version = 0;
  /** Also of processes that have died: what is on the wire is on the wire. */
  private readonly probes = new Set<Request>();

  constructor(readonly processes: Process[]) {
    for (const process of processes) this.learn(process);
  }

  get now() {
    return { ownMs: this.ownMs, storeMs: this.ownMs + this.skewMs };
  }

  get isClosed(): boolean {
    return this.circuit.phase.kind === 'closed';
  }

  get probesOut(): number {
    return this.probes.size;
  }

  send(process: Process): boolean {
    const permit = process.known.permit(this.now, true);
    if (!permit) return false;
    const request = { permit, sentAtMs: this.ownMs };
    process.requests.push(request);
    if (permit.probe !== null) this.probes.add(request);
    return true;
  }

  finish(process: Process, index: number, verdict: Verdict): void {
    const [request] = process.requests.splice(index % process.requests.length, 1);
    if (!request) return;
    this.probes.delete(request);
    const { known } = process;
    known.settle(request.permit);
    const { probe } = request.permit;
    const epoch = known.epochOf(request.permit);
    const error = verdict === 'failure' ? 'http' : null;
    const step = { kind: 'result', verdict, error, epoch, probe, isSystemEvent: false } as const;
    known.begin(step, this.now.storeMs);
    process.writes.push(step);
  }

  claim(process: Process): void {
    if (process.known.limit(this.now) > 0 || process.known.nextMs(this.now) > 0) return;
    const token = String(this.tokens++);
    process.known.won({ token, startByMs: this.ownMs + START_MS, isOut: false });
    process.writes.push({ kind: 'claim', token, leaseMs: LEASE_MS });
  }

  /** The oldest write arrives, and is answered. */
  write(process: Process): void {
    const step = process.writes.shift();
    if (!step) return;
    const { circuit } = reduce(this.circuit, step, this.now.storeMs, POLICY);
    if (circuit !== this.circuit) this.version++;
    this.circuit = circuit;
    if (step.kind === 'result') process.known.end(step, this.now.storeMs);
    this.learn(process);
  }

  learn(process: Process): void {
    process.known.learn(this.circuit, this.version, this.now.storeMs);
    process.known.rebase(this.now.storeMs);
  }

  die(process: Process): void {
    Object.assign(process, new Process());
    this.learn(process);
  }

  /** No request outlasts its timeout, and no writer waits for longer than a moment. */
  pass(ms: number): void {
    for (let rest = ms; rest > 0; rest -= 10) {
      this.ownMs += Math.min(rest, 10);
      for (const process of this.processes) {
        const isOver = (r: Request) => this.ownMs - r.sentAtMs >= TIMEOUT_MS;
        for (let index = process.requests.findIndex(isOver); index >= 0;) {
          this.finish(process, index, 'failure');
          index = process.requests.findIndex(isOver);
        }
      }
      for (const probe of this.probes) {
        if (this.ownMs - probe.sentAtMs >= TIMEOUT_MS) this.probes.delete(probe);
      }
    }
  }

  jump(ms: number): void {
    this.skewMs += ms;
    for (const process of this.processes) process.known.rebase(this.now.storeMs);
  }

  /** The receiver fails until the circuit is open, which everybody hears of, and time goes by. */
  trip(process: Process): void {
    for (let count = 0; count < POLICY.failureThreshold; count++) {
      if (this.send(process)) this.finish(process, process.requests.length - 1, 'failure');
    }
    this.settle();
    this.pass(POLICY.openMs);
  }

  settle(): void {
    for (const process of this.processes) while (process.writes.length > 0) this.write(process);
    for (const process of this.processes) this.learn(process);
  }
}

const verdict = fc.constantFrom<Verdict>('success', 'failure', 'failure', 'failure', 'neutral');
const who = fc.nat(2);
const action = (jumps: fc.Arbitrary<number>) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ send: who }) },
    { weight: 4, arbitrary: fc.record({ finish: who, index: fc.nat(20), verdict }) },
    { weight: 4, arbitrary: fc.record({ write: who }) },
    { weight: 4, arbitrary: fc.record({ claim: who }) },
    { weight: 2, arbitrary: fc.record({ learn: who }) },
    { weight: 1, arbitrary: fc.record({ die: who }) },
    { weight: 3, arbitrary: fc.record({ pass: fc.constantFrom(1, 50, 200, 1_000) }) },
    { weight: 1, arbitrary: fc.record({ trip: who }) },
    { weight: 1, arbitrary: fc.record({ jump: jumps }) },
  );
type Action = ReturnType<typeof action> extends fc.Arbitrary<infer A> ? A : never;

function act(cluster: Cluster, step: Action): void {
  const process = (index: number): Process => cluster.processes[index]!;
  if ('send' in step) cluster.send(process(step.send));
  else if ('finish' in step) cluster.finish(process(step.finish), step.index, step.verdict);
  else if ('write' in step) cluster.write(process(step.write));
  else if ('claim' in step) cluster.claim(process(step.claim));
  else if ('learn' in step) cluster.learn(process(step.learn));
  else if ('die' in step) cluster.die(process(step.die));
  else if ('trip' in step) cluster.trip(process(step.trip));
  else if ('pass' in step) cluster.pass(step.pass);
  else cluster.jump(step.jump);
}

const newCluster = (): Cluster => new Cluster([new Process(), new Process(), new Process()]);
/** Unless told otherwise, it makes lists of about ten. */
const MANY = { maxLength: 150, size: 'max' } as const;
const RUNS = { numRuns: 300 };

describe('the circuit of several processes', () => {
  it('never has more than one probe out, also when the clock steps back', () => {
    const back = fc.constantFrom(-1, -500, -5_000, -86_400_000);
    fc.assert(
      fc.property(fc.array(action(back), MANY), (steps) => {
        const cluster = newCluster();
        for (const step of steps) {
          act(cluster, step);
          expect(cluster.probesOut).toBeLessThanOrEqual(1);
        }
      }),
      RUNS,
    );
  });

  it('sends nothing but the probe once everybody knows that it is open', () => {
    // A step forward can end the lease of a probe that is out, as with every lease by a wall clock.
    const jumps = fc.integer({ min: -100_000, max: 0 });
    fc.assert(
      fc.property(fc.array(action(jumps), MANY), (steps) => {
        const cluster = newCluster();
        for (const step of steps) act(cluster, step);
        cluster.settle();
        if (cluster.isClosed) return;
        const before = cluster.probesOut;
        const sent = cluster.processes.filter((process) => cluster.send(process)).length;
        expect(sent).toBe(cluster.probesOut - before);
        expect(cluster.probesOut).toBeLessThanOrEqual(Math.max(before, 1));
      }),
      RUNS,
    );
  });

  it('closes in the end, whatever was before: the open time and a lease after the receiver is well', () => {
    const jumps = fc.integer({ min: -1_000_000, max: 1_000_000 });
    fc.assert(
      fc.property(fc.array(action(jumps), MANY), who, (steps, index) => {
        const cluster = newCluster();
        for (const step of steps) act(cluster, step);
        cluster.pass(TIMEOUT_MS);
        cluster.settle();
        cluster.pass(Math.max(POLICY.openMs, LEASE_MS) + LEASE_MS);
        // A lease that was begun in a future that never came is noticed at the first claim.
        const process = cluster.processes[index]!;
        for (let round = 0; round < 2 && !cluster.isClosed; round++) {
          cluster.claim(process);
          cluster.settle();
          if (cluster.send(process)) cluster.finish(process, 0, 'success');
          cluster.settle();
          if (!cluster.isClosed) cluster.pass(LEASE_MS);
        }
        expect(cluster.isClosed).toBe(true);
        expect(process.known.limit(cluster.now)).toBeGreaterThanOrEqual(1);
      }),
      RUNS,
    );
  });
});

describe('failures in a row', () => {
  const one = fc.constantFrom<Verdict>('success', 'failure', 'neutral');

  it('are counted exactly, whoever saw them and whatever the clock says', () => {
    const results = fc.array(fc.record({ verdict: one, jump: fc.integer() }), { maxLength: 50 });
    const policy = { ...POLICY, failureThreshold: 1_000 };
    fc.assert(
      fc.property(results, (list) => {
        let circuit = CLOSED;
        let nowMs = 0;
        for (const { verdict: v, jump } of list) {
          nowMs += jump;
          circuit = reduce(circuit, resultOf(v), nowMs, policy).circuit;
        }
        const told = list.map((r) => r.verdict).filter((v) => v !== 'neutral');
        expect(circuit.failures).toBe(told.length - 1 - told.lastIndexOf('success'));
      }),
    );
  });

  it('open it at the threshold, once, and not before', () => {
    fc.assert(
      fc.property(fc.array(one, { maxLength: 40 }), fc.integer({ min: 1, max: 6 }), (list, n) => {
        let circuit = CLOSED;
        let inARow = 0;
        let hasOpened = false;
        for (const [index, v] of list.entries()) {
          const { circuit: next, signals } = reduce(circuit, resultOf(v), index, {
            ...POLICY,
            failureThreshold: n,
          });
          circuit = next;
          if (v !== 'neutral') inARow = v === 'failure' ? inARow + 1 : 0;
          const opensNow: boolean = !hasOpened && inARow >= n;
          expect(signals.map(({ kind }) => kind)).toEqual(opensNow ? ['opened'] : []);
          hasOpened ||= opensNow;
          expect(circuit.phase.kind).toBe(hasOpened ? 'open' : 'closed');
        }
      }),
    );
  });
});

const resultOf = (v: Verdict): CircuitStep => ({
  kind: 'result',
  verdict: v,
  error: v === 'failure' ? 'http' : null,
  epoch: null,
  probe: null,
  isSystemEvent: false,
});
