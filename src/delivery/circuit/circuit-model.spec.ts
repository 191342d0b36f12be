import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Circuit, type CircuitResult, type CircuitStep, CLOSED, reduce } from './circuit.js';
import { CircuitView, type CircuitPermit } from './circuit-view.js';

/**
 * Several nodes on one store, each with its view of one circuit. Requests end in any order,
 * notifications and writes arrive late, nodes crash, and the store's clock jumps.
 */
const POLICY = { failureThreshold: 3, openMs: 1_000, disableAfterMs: 1_000_000 };
const TIMEOUT_MS = 300;
const START_MS = 100;
const LEASE_MS = TIMEOUT_MS + START_MS + 100;

interface Request {
  permit: CircuitPermit;
  sentAtMs: number;
}

class Node {
  view = new CircuitView(POLICY);
  requests: Request[] = [];
  /** Sent to the store and not applied yet, in order. */
  writes: CircuitStep[] = [];
}

class Cluster {
  private monotonicMs = 1_000_000;
  private skewMs = 0;
  private tokens = 0;
  private circuit: Circuit = CLOSED;
  private version = 0;
  /** In flight, also of nodes that have crashed since. */
  private readonly probes = new Set<Request>();

  constructor(readonly nodes: Node[]) {
    for (const node of nodes) this.read(node);
  }

  get now() {
    return { monotonicMs: this.monotonicMs, storeMs: this.monotonicMs + this.skewMs };
  }

  get isClosed(): boolean {
    return this.circuit.phase.kind === 'closed';
  }

  get probesInFlight(): number {
    return this.probes.size;
  }

  send(node: Node): boolean {
    const permit = node.view.permit(this.now, true);
    if (!permit) return false;
    const request = { permit, sentAtMs: this.monotonicMs };
    node.requests.push(request);
    if (permit.probe !== null) this.probes.add(request);
    return true;
  }

  finish(node: Node, index: number, result: CircuitResult): void {
    const [request] = node.requests.splice(index % node.requests.length, 1);
    if (!request) return;
    this.probes.delete(request);
    const { view } = node;
    view.settle(request.permit, result === 'success');
    const { probe } = request.permit;
    const epoch = view.epochOf(request.permit);
    const error = result === 'failure' ? 'http' : null;
    const step = { kind: 'result', result, error, epoch, probe, isSystemEvent: false } as const;
    view.addPending(step, this.now.storeMs);
    node.writes.push(step);
  }

  claim(node: Node): void {
    if (node.view.limit(this.now) > 0 || node.view.nextMs(this.now) > 0) return;
    const token = String(this.tokens++);
    node.view.claimProbe({ token, startByMs: this.monotonicMs + START_MS, isInFlight: false });
    node.writes.push({ kind: 'claim', token, leaseMs: LEASE_MS });
  }

  /** The oldest write is applied, and answered. */
  write(node: Node): void {
    const step = node.writes.shift();
    if (!step) return;
    const { circuit } = reduce(this.circuit, step, this.now.storeMs, POLICY);
    if (circuit !== this.circuit) this.version++;
    this.circuit = circuit;
    if (step.kind === 'result') node.view.removePending(step, this.now.storeMs);
    this.read(node);
  }

  read(node: Node): void {
    node.view.update(this.circuit, this.version, this.now.storeMs);
    node.view.followClock(this.now.storeMs);
  }

  crash(node: Node): void {
    Object.assign(node, new Node());
    this.read(node);
  }

  /** In small steps, so that no request outlives its timeout. */
  pass(ms: number): void {
    for (let rest = ms; rest > 0; rest -= 10) {
      this.monotonicMs += Math.min(rest, 10);
      for (const node of this.nodes) {
        const isOver = (r: Request) => this.monotonicMs - r.sentAtMs >= TIMEOUT_MS;
        for (let index = node.requests.findIndex(isOver); index >= 0;) {
          this.finish(node, index, 'failure');
          index = node.requests.findIndex(isOver);
        }
      }
      for (const probe of this.probes) {
        if (this.monotonicMs - probe.sentAtMs >= TIMEOUT_MS) this.probes.delete(probe);
      }
    }
  }

  jump(ms: number): void {
    this.skewMs += ms;
    for (const node of this.nodes) node.view.followClock(this.now.storeMs);
  }

  /** The receiver fails until the circuit is open, all nodes read that, and the open time passes. */
  trip(node: Node): void {
    for (let count = 0; count < POLICY.failureThreshold; count++) {
      if (this.send(node)) this.finish(node, node.requests.length - 1, 'failure');
    }
    this.settle();
    this.pass(POLICY.openMs);
  }

  settle(): void {
    for (const node of this.nodes) while (node.writes.length > 0) this.write(node);
    for (const node of this.nodes) this.read(node);
  }
}

const result = fc.constantFrom<CircuitResult>(
  'success',
  'failure',
  'failure',
  'failure',
  'neutral',
);
const anyNode = fc.nat(2);
const action = (jumps: fc.Arbitrary<number>) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ send: anyNode }) },
    { weight: 4, arbitrary: fc.record({ finish: anyNode, index: fc.nat(20), result }) },
    { weight: 4, arbitrary: fc.record({ write: anyNode }) },
    { weight: 4, arbitrary: fc.record({ claim: anyNode }) },
    { weight: 2, arbitrary: fc.record({ read: anyNode }) },
    { weight: 1, arbitrary: fc.record({ crash: anyNode }) },
    { weight: 3, arbitrary: fc.record({ pass: fc.constantFrom(1, 50, 200, 1_000) }) },
    { weight: 1, arbitrary: fc.record({ trip: anyNode }) },
    { weight: 1, arbitrary: fc.record({ jump: jumps }) },
  );
type Action = ReturnType<typeof action> extends fc.Arbitrary<infer A> ? A : never;

function act(cluster: Cluster, step: Action): void {
  const node = (index: number): Node => cluster.nodes[index]!;
  if ('send' in step) cluster.send(node(step.send));
  else if ('finish' in step) cluster.finish(node(step.finish), step.index, step.result);
  else if ('write' in step) cluster.write(node(step.write));
  else if ('claim' in step) cluster.claim(node(step.claim));
  else if ('read' in step) cluster.read(node(step.read));
  else if ('crash' in step) cluster.crash(node(step.crash));
  else if ('trip' in step) cluster.trip(node(step.trip));
  else if ('pass' in step) cluster.pass(step.pass);
  else cluster.jump(step.jump);
}

const newCluster = (): Cluster => new Cluster([new Node(), new Node(), new Node()]);
/** By default it makes lists of about ten. */
const MANY = { maxLength: 150, size: 'max' } as const;
const RUNS = { numRuns: 300 };

describe('the circuit of several nodes', () => {
  it('never has more than one probe in flight, also when the clock steps back', () => {
    const back = fc.constantFrom(-1, -500, -5_000, -86_400_000);
    fc.assert(
      fc.property(fc.array(action(back), MANY), (steps) => {
        const cluster = newCluster();
        for (const step of steps) {
          act(cluster, step);
          expect(cluster.probesInFlight).toBeLessThanOrEqual(1);
        }
      }),
      RUNS,
    );
  });

  it('sends nothing but the probe once all nodes have read that it is open', () => {
    // A step forward can end the lease of a probe in flight, as with every lease by a wall clock.
    const jumps = fc.integer({ min: -100_000, max: 0 });
    fc.assert(
      fc.property(fc.array(action(jumps), MANY), (steps) => {
        const cluster = newCluster();
        for (const step of steps) act(cluster, step);
        cluster.settle();
        if (cluster.isClosed) return;
        const before = cluster.probesInFlight;
        const sent = cluster.nodes.filter((node) => cluster.send(node)).length;
        expect(sent).toBe(cluster.probesInFlight - before);
        expect(cluster.probesInFlight).toBeLessThanOrEqual(Math.max(before, 1));
      }),
      RUNS,
    );
  });

  it('closes in the end: after the receiver recovers, within the open time and a lease', () => {
    const jumps = fc.integer({ min: -1_000_000, max: 1_000_000 });
    fc.assert(
      fc.property(fc.array(action(jumps), MANY), anyNode, (steps, index) => {
        const cluster = newCluster();
        for (const step of steps) act(cluster, step);
        cluster.pass(TIMEOUT_MS);
        cluster.settle();
        cluster.pass(Math.max(POLICY.openMs, LEASE_MS) + LEASE_MS);
        // A lease that began in the future, before the clock stepped back, is noticed at the first claim.
        const node = cluster.nodes[index]!;
        for (let round = 0; round < 2 && !cluster.isClosed; round++) {
          cluster.claim(node);
          cluster.settle();
          if (cluster.send(node)) cluster.finish(node, 0, 'success');
          cluster.settle();
          if (!cluster.isClosed) cluster.pass(LEASE_MS);
        }
        expect(cluster.isClosed).toBe(true);
        expect(node.view.limit(cluster.now)).toBeGreaterThanOrEqual(1);
      }),
      RUNS,
    );
  });
});

describe('failures in a row', () => {
  const one = fc.constantFrom<CircuitResult>('success', 'failure', 'neutral');

  it('are counted exactly, also when the clock jumps', () => {
    const results = fc.array(fc.record({ result: one, jump: fc.integer() }), { maxLength: 50 });
    const policy = { ...POLICY, failureThreshold: 1_000 };
    fc.assert(
      fc.property(results, (list) => {
        let circuit = CLOSED;
        let nowMs = 0;
        for (const { result: v, jump } of list) {
          nowMs += jump;
          circuit = reduce(circuit, resultStep(v), nowMs, policy).circuit;
        }
        const counted = list.map((r) => r.result).filter((v) => v !== 'neutral');
        expect(circuit.failures).toBe(counted.length - 1 - counted.lastIndexOf('success'));
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
          const { circuit: next, signals } = reduce(circuit, resultStep(v), index, {
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

const resultStep = (v: CircuitResult): CircuitStep => ({
  kind: 'result',
  result: v,
  error: v === 'failure' ? 'http' : null,
  epoch: null,
  probe: null,
  isSystemEvent: false,
});
