import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Hold, HoldRule } from '../../support/tcp-proxy.js';
import type { Member } from '../site/member.js';
import type { Exchange } from '../site/receiver.js';
import { LEASE_MS, TIMEOUT_MS } from '../site/site.js';
import { AFTER_LEASE, type Fault, PROMPT, type Scene } from './fault.js';

/** The timeout of a step of a fault. */
const STEP_MS = 30_000;
/** An orderly shutdown may take one attempt and this time. */
const DRAIN_SLACK_MS = 10_000;

/** How long the webhook lease of a dead worker lasts. */
const WEBHOOK_LEASE_MS = 10_000;
/** Events that wait behind the one whose worker is killed. */
const QUEUED_EVENTS = 5;

/** A rolling update: each process in turn shuts down in order and is replaced. */
export const rollingRestart: Fault = {
  name: 'rolling SIGTERM under load',
  target: 'processes',
  budget: PROMPT,
  async inflict({ site }) {
    for (const member of site.all) {
      const tookMs = await member.terminate();
      if (tookMs > TIMEOUT_MS + DRAIN_SLACK_MS) {
        throw new Error(`${member.name} took ${Math.round(tookMs)} ms to end`);
      }
      await member.start();
    }
  },
};

const killAfterCommit: Fault = {
  name: 'kill -9 of the API after the commit, before its answer',
  target: 'processes',
  budget: AFTER_LEASE,
  async inflict(scene) {
    const { site, publisher } = scene;
    const nonce = randomUUID();
    const hold = site.api.proxy.hold({ marker: nonce, what: 'answer' });
    const published = publisher.publish('one', nonce);
    await step('the answer to the commit', hold.reached);
    await site.api.kill();
    await expectStored(scene, nonce, 1);
    hold.release();
    await site.api.start();
    await published;
  },
};

const killDuringRequest: Fault = {
  name: 'kill -9 of a worker during the request',
  target: 'processes',
  budget: AFTER_LEASE,
  async inflict(scene) {
    const { worker, exchange } = await captureAttempt(scene);
    await worker.kill();
    // The receiver has the whole request, but its worker is gone.
    exchange.answer(200);
    await worker.start();
  },
};

const killAfterAnswer: Fault = {
  name: 'kill -9 of a worker after the 200, before the outcome is written',
  target: 'processes',
  budget: AFTER_LEASE,
  async inflict(scene) {
    const { exchange } = await captureAttempt(scene);
    const { messageId } = exchange;
    const victim = onFirst(scene.site.workers, { marker: messageId, what: 'request' });
    exchange.answer(200);
    const worker = await step('the outcome', victim.reached);
    await worker.kill();
    victim.release();
    await worker.start();
  },
};

const killAfterOutcome: Fault = {
  name: 'kill -9 of a worker after the outcome is committed, before it knows',
  target: 'processes',
  budget: AFTER_LEASE,
  async inflict(scene) {
    const { exchange } = await captureAttempt(scene);
    const victim = onFirst(scene.site.workers, { marker: exchange.messageId, what: 'answer' });
    exchange.answer(200);
    const worker = await step('the answer to the outcome', victim.reached);
    await worker.kill();
    victim.release();
    await worker.start();
  },
};

/** The process that serves an ordered webhook dies with a request in flight and more queued. */
const killOrderedWorker: Fault = {
  name: 'kill -9 of the worker that serves an ordered webhook, during a request',
  target: 'processes',
  budget: { ...AFTER_LEASE, drainedMs: AFTER_LEASE.drainedMs + WEBHOOK_LEASE_MS },
  endpoints: (prefix) => ({
    ordered: { events: [`${prefix}.ordered`], settings: { ordering: 'fifo' } },
  }),
  async inflict(scene) {
    const { worker, exchange } = await captureAttempt(scene, 'ordered');
    for (let n = 0; n < QUEUED_EVENTS; n++) await scene.publisher.publish('ordered');
    await worker.kill();
    exchange.answer(200);
    await worker.start();
  },
};

/** `kill -9` of the API before and after a commit, and of a worker at each step of an attempt. */
export const processFaults: Fault[] = [
  {
    name: 'kill -9 of the API before the commit',
    target: 'processes',
    budget: AFTER_LEASE,
    async inflict(scene) {
      const { site, publisher } = scene;
      const nonce = randomUUID();
      const hold = site.api.proxy.hold({ marker: nonce, what: 'request' });
      const published = publisher.publish('one', nonce);
      await step('the request for the commit', hold.reached);
      await site.api.kill();
      await expectStored(scene, nonce, 0);
      hold.release();
      await site.api.start();
      await published;
    },
  },
  killAfterCommit,
  {
    name: 'kill -9 of a worker before the request',
    target: 'processes',
    budget: AFTER_LEASE,
    async inflict(scene) {
      // A process with all roles claims nothing here: it dies with the event in its memory.
      if (scene.site.shape === 'whole') return killUnderLoad(scene, scene.site.api);
      const nonce = randomUUID();
      const victim = onFirst(scene.site.workers, { marker: nonce, what: 'answer-with' });
      void scene.publisher.publish('one', nonce);
      await restart(await step('a claim', victim.reached));
      victim.release();
    },
  },
  killDuringRequest,
  killAfterAnswer,
  killAfterOutcome,
  killOrderedWorker,
  {
    name: 'kill -9 of any process under load',
    target: 'processes',
    budget: AFTER_LEASE,
    inflict: (scene) => killUnderLoad(scene, scene.random.pick(scene.site.all)),
  },
  {
    name: 'SIGSTOP of a worker past its lease, then SIGCONT',
    target: 'processes',
    budget: AFTER_LEASE,
    async inflict(scene) {
      const { worker, exchange, nonce } = await captureAttempt(scene);
      const frozenAt = Date.now();
      worker.freeze();
      try {
        const again = scene.receivers.arrival(nonce);
        // The stopped worker must not write this outcome when it continues.
        exchange.answer(500);
        const isWorker = worker !== scene.site.api;
        const successor = await Promise.race([
          again,
          delay(isWorker ? 2 * LEASE_MS : LEASE_MS + 1_000),
        ]);
        successor?.answer(200);
      } finally {
        worker.wake(frozenAt);
      }
    },
  },
  rollingRestart,
  {
    name: 'SIGTERM, and SIGKILL 2 s later',
    target: 'processes',
    budget: { ...AFTER_LEASE, drainedMs: AFTER_LEASE.drainedMs + 5_000 },
    // A request that takes longer than those 2 s.
    endpoints: (prefix) => ({
      slow: { events: [`${prefix}.slow`], settings: { timeoutMs: 5_000 } },
    }),
    async inflict(scene) {
      const { worker, exchange } = await captureAttempt(scene, 'slow');
      await worker.terminateAndKill(2_000);
      exchange.answer(200);
      await worker.start();
    },
  },
];

/** The short form: all in one run, so that their leases end at the same time. */
export const killsAtEachStep: Fault = {
  name: 'kill -9 after the commit, during the request, and after the 200',
  target: 'processes',
  budget: AFTER_LEASE,
  async inflict(scene) {
    for (const fault of [killAfterCommit, killDuringRequest, killAfterAnswer]) {
      await fault.inflict(scene);
    }
  },
};

async function killUnderLoad({ random }: Scene, member: Member): Promise<void> {
  await delay(random.between(0, 500));
  await restart(member);
}

async function restart(member: Member): Promise<void> {
  await member.kill();
  await member.start();
}

/** Waits for an attempt that has arrived and is not answered, and finds the process that made it. */
async function captureAttempt(
  { site, publisher, receivers }: Scene,
  kind = 'one',
): Promise<{ worker: Member; exchange: Exchange; nonce: string }> {
  const nonce = randomUUID();
  const arrival = receivers.arrival(nonce);
  const claim = onFirst(site.workers, { marker: nonce, what: 'answer-with' });
  const published = publisher.publish(kind, nonce);
  const claimer = claim.reached.then((worker) => {
    claim.release();
    return worker;
  });
  // With all roles in one process, that process delivers; otherwise a worker has claimed it before.
  const worker =
    site.shape === 'whole'
      ? published.then(() => Promise.race([claimer, arrival.then(() => site.api)]))
      : claimer;
  const [by, exchange] = await step('an attempt', Promise.all([worker, arrival]));
  claim.release();
  return { worker: by, exchange, nonce };
}

/** The same hold at several processes; resolves with the first that reaches it. */
function onFirst(
  members: readonly Member[],
  rule: HoldRule,
): { reached: Promise<Member>; release: () => void } {
  const holds = members.map((member): [Member, Hold] => [member, member.proxy.hold(rule)]);
  return {
    reached: Promise.race(holds.map(([member, hold]) => hold.reached.then(() => member))),
    release: () => {
      for (const [, hold] of holds) hold.release();
    },
  };
}

/** @throws unless this number of events with the nonce is committed */
async function expectStored(
  { site, isAlone }: Scene,
  nonce: string,
  expected: number,
): Promise<void> {
  if (!isAlone) return;
  const rows = await site.query('SELECT id FROM events WHERE body LIKE $1', [`%${nonce}%`]);
  if (rows.length !== expected) {
    throw new Error(`${rows.length} events are committed at this step instead of ${expected}`);
  }
}

/** @throws if a step is not reached: the fault would prove nothing without it */
export async function step<T>(what: string, reached: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const tooLate = delay(STEP_MS, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} was not reached`);
  });
  try {
    return await Promise.race([reached, tooLate]);
  } finally {
    timer.abort();
    tooLate.catch(() => undefined);
  }
}
