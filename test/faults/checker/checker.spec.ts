import { describe, expect, it } from 'vitest';
import { type History, type LedgerRecord, type Received, parseLedger } from '../ledger/records.js';
import { judge } from './checker.js';
import { firstCopy, soundHistory } from './sound-history.js';

const BUDGET = { firstSuccessMs: 1_000, drainedMs: 1_000 };

/** The names of the broken invariants. */
function broken(doctor: (history: History) => void): string[] {
  const history = soundHistory();
  doctor(history);
  const names = judge(history, BUDGET).problems.map((problem) => problem.split(':')[0]!);
  return [...new Set(names)];
}

const remove = <T>(items: T[], isIt: (item: T) => boolean): void => {
  const index = items.findIndex(isIt);
  if (index === -1) throw new Error('no record to remove');
  items.splice(index, 1);
};

const copy = (history: History, webhookId: string, eventId: string) =>
  firstCopy(history, webhookId, eventId).received;

describe('a sound history', () => {
  it('breaks no invariant', () => {
    expect(judge(soundHistory(), BUDGET).problems).toEqual([]);
  });

  it('is counted correctly', () => {
    const { accepted, lost, duplicates, recovery } = judge(soundHistory(), BUDGET);
    expect({ accepted, lost, duplicates }).toEqual({ accepted: 13, lost: 0, duplicates: 1 });
    expect(recovery).toEqual({ firstSuccessMs: 120, drainedMs: 500 });
  });

  it('is the same after it was written to a file and read', () => {
    const { ledger, dump } = soundHistory();
    const lines = (Object.values(ledger) as LedgerRecord[][]).flat().map((r) => JSON.stringify(r));
    expect(parseLedger(lines.join('\n'))).toEqual(ledger);
    expect(judge({ ledger: parseLedger(lines.join('\n')), dump }, BUDGET).problems).toEqual([]);
  });
});

describe('a doctored history breaks', () => {
  it.each<[string, string[], (history: History) => void]>([
    [
      'I1 and I9 when the only receipt is deleted',
      ['I1', 'I9'],
      (h) => remove(h.ledger.received, (r) => r.messageId === 'evt_5' && r.webhookId === 'wh_bob'),
    ],
    [
      'I1 when a failed delivery is still pending',
      ['I1'],
      (h) => {
        h.dump.deliveries.find(({ status }) => status === 'dead_letter')!.status = 'retrying';
      },
    ],
    [
      'I1 when a failed delivery has no row',
      ['I1'],
      (h) => remove(h.dump.deliveries, ({ status }) => status === 'dead_letter'),
    ],
    [
      'I1 and I9 when a failure has two final states',
      ['I1', 'I9'],
      (h) => {
        const dead = h.dump.deliveries.find(({ status }) => status === 'dead_letter')!;
        h.dump.deliveries.push({ ...dead, id: 'dlv_twin', status: 'canceled' });
      },
    ],
    [
      'I9 when a dead letter has only attempts that crashes interrupted',
      ['I9'],
      (h) => {
        const dead = h.dump.deliveries.find(({ status }) => status === 'dead_letter')!;
        for (const attempt of h.dump.attempts) {
          if (attempt.deliveryId !== dead.id) continue;
          Object.assign(attempt, { statusCode: null, error: 'interrupted' });
        }
      },
    ],
    [
      'I2 when an event arrives that no producer published',
      ['I2'],
      (h) => remove(h.ledger.asked, ({ nonce }) => nonce === 'nonce-5'),
    ],
    [
      'I2 when an event arrives that was refused',
      ['I2'],
      (h) => {
        const answer = h.ledger.answered.find(({ nonce }) => nonce === 'nonce-5')!;
        Object.assign(answer, { status: 422, eventId: null });
      },
    ],
    [
      'I2 when a key creates a second event',
      ['I2'],
      (h) => {
        const answer = h.ledger.answered.find(({ nonce }) => nonce === 'nonce-5')!;
        h.ledger.answered.push({ ...answer, at: answer.at + 50, eventId: 'evt_twin' });
      },
    ],
    [
      'I2 when the log has a second event of a key',
      ['I2'],
      (h) => h.dump.events.push({ ...h.dump.events[3]!, id: 'evt_twin' }),
    ],
    [
      'I2 when an accepted event is not in the log',
      ['I2'],
      (h) => remove(h.dump.events, ({ id }) => id === 'evt_5'),
    ],
    [
      'I3 when there are too many copies',
      ['I3', 'I9'],
      (h) => {
        const again = copy(h, 'wh_ada', 'evt_0');
        h.ledger.received.push({ ...again, receipt: 'again', at: again.at + 1 });
      },
    ],
    [
      'I3 when a crash excuses one copy, and there are two',
      ['I3', 'I9'],
      (h) => {
        const again = copy(h, 'wh_bob', 'evt_4');
        h.ledger.received.push({ ...again, receipt: 'again', at: again.at + 1 });
      },
    ],
    [
      'I3 and I9 when the crash that excuses a copy was long before',
      ['I3', 'I9'],
      (h) => {
        Object.assign(h.ledger.disturbed[0]!, { from: 0, until: 1 });
      },
    ],
    [
      'I3 and I5 when a byte is altered on the way',
      ['I3', 'I5'],
      (h) => {
        const altered = copy(h, 'wh_ada', 'evt_2');
        altered.body = altered.body.replace('run.one', 'run.onf');
      },
    ],
    [
      'I3 when a copy has another delivery id',
      ['I3'],
      (h) => {
        h.ledger.received.findLast((r) => r.messageId === 'evt_4')!.deliveryId = 'dlv_other';
      },
    ],
    [
      'I4 when two events of an ordered webhook are swapped',
      ['I4'],
      (h) => {
        const [first, second] = [copy(h, 'wh_ada', 'evt_0'), copy(h, 'wh_ada', 'evt_2')];
        [first.at, second.at] = [second.at, first.at];
      },
    ],
    [
      'I4 when an ordered webhook overtakes a head that is still pending',
      ['I1', 'I4', 'I9'],
      (h) => remove(h.ledger.received, (r) => r.messageId === 'evt_0' && r.webhookId === 'wh_ada'),
    ],
    [
      'I4 when an ordered webhook is sent the next before it has answered',
      ['I4'],
      (h) => {
        const { receipt } = copy(h, 'wh_ada', 'evt_0');
        h.ledger.replied.find((reply) => reply.receipt === receipt)!.at += 60_000;
      },
    ],
    [
      'I4 when an ordered webhook is sent the next one before the last one is a dead letter',
      ['I4'],
      (h) => {
        const { receipt, deliveryId } = copy(h, 'wh_ada', 'evt_0');
        const row = h.dump.deliveries.find(({ id }) => id === deliveryId)!;
        const next = copy(h, 'wh_ada', 'evt_2').at;
        Object.assign(row, { status: 'dead_letter', completedAt: next + 1 });
        h.ledger.replied.find((reply) => reply.receipt === receipt)!.status = 500;
        h.dump.attempts.find((attempt) => attempt.deliveryId === deliveryId)!.statusCode = 500;
      },
    ],
    [
      'I3 and I5 when an event in a batch has other bytes than alone',
      ['I3', 'I5'],
      (h) => {
        const batch = batchOf(h);
        batch.body = batch.body.replace('run.one', 'run.onf');
      },
    ],
    [
      'all invariants about its events when a batch is not an array',
      ['I1', 'I2', 'I3', 'I5', 'I9', 'I12'],
      (h) => {
        for (const batch of h.ledger.received) {
          if (batch.batchSize !== null) batch.body = batch.body.replace('[', '');
        }
      },
    ],
    [
      'I5 when a signature is wrong',
      ['I5'],
      (h) => {
        copy(h, 'wh_ada', 'evt_2').signature = `v1,${Buffer.alloc(32).toString('base64')}`;
      },
    ],
    [
      'I5 when a key is used after its end',
      ['I5'],
      (h) =>
        h.ledger.rotated.push({
          kind: 'rotated',
          at: 1,
          webhookId: 'wh_ada',
          secret: `whsec_${Buffer.alloc(32, 9).toString('base64')}`,
          previousUntil: 1,
        }),
    ],
    [
      'I5 when a timestamp is old',
      ['I5'],
      (h) => {
        const stale = copy(h, 'wh_ada', 'evt_2');
        stale.timestamp = String(Number(stale.timestamp) - 3_600);
      },
    ],
    [
      'I6 when an event reaches the webhook of another owner',
      ['I6'],
      (h) => {
        copy(h, 'wh_bob', 'evt_1').webhookId = 'wh_ada';
      },
    ],
    [
      'I6 and I10 when a socket receives the event of another owner',
      ['I6', 'I10'],
      (h) => {
        h.ledger.pushed.find(({ ownerId }) => ownerId === 'bob')!.ownerId = 'ada';
      },
    ],
    [
      'I6 when a list shows an event of another owner',
      ['I6'],
      (h) =>
        h.ledger.listed.push({
          kind: 'listed',
          at: 1,
          ownerId: 'ada',
          what: 'events',
          ids: ['evt_1'],
        }),
    ],
    [
      'I6 when a list shows a webhook of another owner',
      ['I6'],
      (h) =>
        h.ledger.listed.push({
          kind: 'listed',
          at: 1,
          ownerId: 'ada',
          what: 'webhooks',
          ids: ['wh_bob'],
        }),
    ],
    [
      'I6 when an event is stored as that of another owner',
      ['I6'],
      (h) => {
        h.dump.events[0]!.ownerId = 'bob';
      },
    ],
    [
      'I7 when a process ends by itself',
      ['I7'],
      (h) => {
        h.ledger.ended[0]!.how = 'code 1';
      },
    ],
    [
      'I7 when a process prints an error',
      ['I7'],
      (h) =>
        h.ledger.complained.push({
          kind: 'complained',
          at: 1,
          process: 'api',
          line: 'UnhandledPromiseRejection',
        }),
    ],
    ['I7 when open files grow', ['I7'], (h) => grow(h, (n) => ({ fds: 40 + n * 5 }))],
    [
      'I7 when memory grows',
      ['I7'],
      (h) => grow(h, (n) => ({ rssBytes: (100 + n * 30) * 2 ** 20 })),
    ],
    [
      'I8 when the fault never ended',
      ['I8'],
      (h) => {
        h.ledger.healed = [];
      },
    ],
    [
      'I8 when nothing succeeds after the fault',
      ['I8'],
      (h) => {
        h.ledger.healed[0]!.at += 60_000;
      },
    ],
    [
      'I8 when the backlog takes too long',
      ['I8'],
      (h) => {
        h.ledger.rested[0]!.at += 5_000;
      },
    ],
    [
      'I8 when the backlog is never delivered',
      ['I8'],
      (h) => {
        h.ledger.rested = [];
      },
    ],
    [
      'I9 when an attempt is missing in the history',
      ['I9'],
      (h) => remove(h.dump.attempts, (a) => a.deliveryId === 'dlv_evt_2_wh_ada'),
    ],
    [
      'I9 when a success is recorded that no receiver answered',
      ['I9'],
      (h) => {
        const dead = h.dump.deliveries.find(({ status }) => status === 'dead_letter')!;
        dead.status = 'success';
        h.ledger.replied.find(({ receipt }) =>
          receipt.startsWith(`${dead.eventId}-${dead.webhookId}`),
        )!.status = 500;
        h.ledger.registered.find(({ webhookId }) => webhookId === dead.webhookId)!.at = 2e15;
      },
    ],
    [
      'I10 when a socket misses an event',
      ['I10'],
      (h) => remove(h.ledger.pushed, (e) => e.eventId === 'evt_3' && e.ownerId === 'ada'),
    ],
    [
      'I10 when a socket does not get the events that it missed',
      ['I10'],
      (h) => {
        h.ledger.subscribed.at(-1)!.isRecovered = false;
      },
    ],
    [
      'I10 when no socket listens',
      ['I10'],
      (h) => {
        h.ledger.subscribed = [];
      },
    ],
    [
      'I11 when the circuit of a webhook that works is open',
      ['I11'],
      (h) => {
        circuitOf(h, 'wh_ada', 'open');
      },
    ],
    [
      'I11 when a receiver that never failed has an open circuit',
      ['I11'],
      (h) => {
        h.ledger.registered.find(({ webhookId }) => webhookId === 'wh_ada')!.isHealthy = false;
        circuitOf(h, 'wh_ada', 'open');
      },
    ],
    [
      'I11 when a receiver that fails for ever has a closed circuit',
      ['I11'],
      (h) => {
        circuitOf(h, 'wh_broken', 'closed');
      },
    ],
    [
      'I11 when a probe never ends',
      ['I11'],
      (h) => {
        circuitOf(h, 'wh_broken', 'half_open');
      },
    ],
    [
      'I11 when the API and the table differ',
      ['I11'],
      (h) => {
        h.ledger.shown.find(({ webhookId }) => webhookId === 'wh_broken')!.circuit = 'closed';
      },
    ],
    [
      'I11 when a webhook was switched off',
      ['I11'],
      (h) => {
        h.ledger.shown[0]!.active = false;
      },
    ],
    [
      'I11 when a webhook was not checked',
      ['I11'],
      (h) => remove(h.ledger.shown, ({ webhookId }) => webhookId === 'wh_broken'),
    ],
    [
      'I12 when more requests arrive at once than the rate allows',
      ['I12'],
      (h) => {
        h.ledger.registered.find(({ rateLimit }) => rateLimit !== null)!.rateLimit = {
          max: 1,
          perMs: 1_000,
        };
      },
    ],
    [
      'I12 when a batch is too large',
      ['I12'],
      (h) => {
        h.ledger.registered.find(({ batch }) => batch !== null)!.batch = { maxEvents: 2 };
      },
    ],
    [
      'I12 when a batch has another size than its header says',
      ['I12'],
      (h) => {
        batchOf(h).batchSize = 2;
      },
    ],
    [
      'I12 when a webhook with batches gets a single event',
      ['I12'],
      (h) => {
        const single = h.ledger.registered.find(({ webhookId }) => webhookId === 'wh_ada')!;
        single.batch = { maxEvents: 2 };
      },
    ],
    [
      'I11 when a lease remains',
      ['I11'],
      (h) => {
        h.ledger.measured[0]!.value = '1';
      },
    ],
    [
      'I11 when nothing was measured',
      ['I11'],
      (h) => {
        h.ledger.measured = [];
      },
    ],
  ])('%s', (_, invariants, doctor) => {
    expect(broken(doctor)).toEqual(invariants);
  });

  it('with an error when a line of a ledger is truncated', () => {
    expect(() => parseLedger('{"kind":"healed","at":1,"fau')).toThrow(SyntaxError);
  });
});

const batchOf = (h: History): Received =>
  h.ledger.received.find(({ batchSize }) => batchSize !== null)!;

/** Both in the table and in the API. */
function circuitOf({ ledger, dump }: History, webhookId: string, state: string): void {
  ledger.shown.find((shown) => shown.webhookId === webhookId)!.circuit = state;
  const others = dump.circuits.filter((circuit) => circuit.webhookId !== webhookId);
  const isProbing = state === 'half_open';
  dump.circuits = [...others, { webhookId, state, failures: 5, isProbing }];
}

function grow({ ledger }: History, value: (n: number) => object): void {
  for (let n = 0; n < 60; n++) {
    const sample = {
      kind: 'sampled' as const,
      at: n,
      process: 'api',
      fds: 40,
      rssBytes: 100 << 20,
    };
    ledger.sampled.push({ ...sample, ...value(n) });
  }
}
