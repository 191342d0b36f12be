import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { AttemptMarksStore } from '../../src/delivery/sending/attempt-marks.store.js';
import { type AttemptRecord, FINAL, type Outcome } from '../../src/delivery/sending/outcome.js';
import { OutcomeStore } from '../../src/delivery/sending/outcome.store.js';
import { type DeliveryTask, firstAttempts, groupOf } from '../../src/delivery/sending/task.js';
import { DeliveryRows, type Row } from '../support/delivery-rows.js';
import { propertyRuns } from '../support/property-runs.js';

let rows: DeliveryRows;
let outcomes: OutcomeStore;

beforeAll(async () => {
  rows = await DeliveryRows.create();
  outcomes = new OutcomeStore(rows.postgres, { outcomeRetryMaxMs: 500 });
});
afterAll(() => rows.drop());

const TOKEN = 'process.1';
const LATER = 'process.2';
const webhooks = (count: number): string[] => Array.from({ length: count }, () => newId('wh'));

/** The tasks of an event, whose outbox row is leased under {@link TOKEN} unless another is given. */
async function leased(count: number, token = TOKEN): Promise<DeliveryTask[]> {
  const ids = webhooks(count);
  const id = await rows.addPending(ids, { token, dueInMs: 60_000 });
  const body = Buffer.from('{}');
  const event = {
    id,
    ownerId: null,
    type: 'stored.event',
    body,
    priority: 1,
    expiresAtMs: undefined,
  };
  return firstAttempts(event, ids, { token: TOKEN, endsMs: 0 });
}

let clockMs = Date.now();
const attempt = (more: Partial<AttemptRecord> = {}): AttemptRecord => ({
  startedAtMs: clockMs++,
  durationMs: 12.6,
  statusCode: 200,
  error: null,
  responseBody: 'ok',
  message: null,
  isResent: false,
  ...more,
});

const success = (task: DeliveryTask, more: Partial<AttemptRecord> = {}): Outcome => ({
  task,
  status: 'success',
  next: FINAL,
  error: null,
  attempt: attempt(more),
});

const failure = (task: DeliveryTask): Outcome => ({
  task,
  status: 'retrying',
  next: { kind: 'scheduled', inMs: 600_000 },
  error: 'http',
  attempt: attempt({ statusCode: 503, error: 'http', responseBody: 'busy' }),
});

const record = (...list: Outcome[]): Promise<unknown> =>
  Promise.all(list.map((outcome) => outcomes.record(outcome)));

const deliveryOf = async ({ deliveryId }: DeliveryTask): Promise<Row | undefined> =>
  (await rows.query('SELECT * FROM deliveries WHERE id = $1', [deliveryId]))[0];

/** All attempts: the latest is in the delivery's row, the others have rows of their own. */
const attemptsOf = ({ deliveryId }: DeliveryTask): Promise<Row[]> =>
  rows.query(
    `SELECT number, started_at, duration_ms, status_code, error, response_body, resent
       FROM delivery_attempts WHERE delivery_id = $1
     UNION ALL
     SELECT attempts, last_attempt_at, last_duration_ms, last_status_code, last_attempt_error,
            last_response_body, last_attempt_resent
       FROM deliveries WHERE id = $1 AND last_attempt_at IS NOT NULL
     ORDER BY started_at`,
    [deliveryId],
  );

const isInOutbox = async ({ event }: DeliveryTask): Promise<boolean> =>
  (await rows.query('SELECT 1 FROM event_outbox WHERE event_id = $1', [event.id])).length === 1;

/** As a sweeper does: the delivery is due again and is claimed. */
async function claimed(task: DeliveryTask, token: string): Promise<DeliveryTask> {
  const sql = `UPDATE deliveries SET status = 'delivering', lease_token = $2 WHERE id = $1`;
  await rows.query(sql, [task.deliveryId, token]);
  return {
    ...task,
    token,
    attempt: task.attempt + 1,
    lostLeases: 0,
    pauseMs: 0,
    source: { kind: 'due' as const },
  };
}

describe('the first outcome of a delivery', () => {
  it('creates its row, with the attempt', async () => {
    const [task] = await leased(1);
    await record(failure(task!));
    expect(await deliveryOf(task!)).toMatchObject({
      event_id: task!.event.id,
      webhook_id: task!.webhookId,
      event_type: 'stored.event',
      status: 'retrying',
      attempts: 1,
      budget_start: 0,
      lease_token: null,
      last_status_code: 503,
      last_error: 'http',
      due_at: expect.any(Date),
      completed_at: null,
    });
    expect(await attemptsOf(task!)).toMatchObject([
      { number: 1, duration_ms: 13, status_code: 503, error: 'http', response_body: 'busy' },
    ]);
  });

  it('keeps the priority of its event, by which it is pulled if it is deferred', async () => {
    const [task] = await leased(1);
    groupOf(task!)!.priority = 2;
    await record(failure(task!));
    expect(await deliveryOf(task!)).toMatchObject({ priority: 2 });
  });

  it('can defer it, for a time', async () => {
    const [task] = await leased(1);
    const outcome: Outcome = { ...failure(task!), next: { kind: 'deferred', forMs: 600_000 } };
    await record(outcome);
    const row = await deliveryOf(task!);
    expect(row).toMatchObject({ status: 'retrying', due_at: null });
    expect(Number(row!['not_before'])).toBeGreaterThan(Date.now() + 500_000);
  });

  it('keeps the error of the attempt beside the reason why the delivery ended', async () => {
    const [task] = await leased(1);
    const gone = attempt({ statusCode: 410, error: 'http' });
    await record({
      task: task!,
      status: 'dead_letter',
      next: FINAL,
      error: 'gone',
      attempt: gone,
    });
    expect(await deliveryOf(task!)).toMatchObject({ last_error: 'gone', last_status_code: 410 });
    expect(await attemptsOf(task!)).toMatchObject([{ number: 1, error: 'http' }]);
  });

  it('creates a row without an attempt where none was made', async () => {
    const [task] = await leased(1);
    const next = { kind: 'scheduled', inMs: 1_000 } as const;
    await record({ task: task!, status: 'pending', next, error: null, attempt: null });
    expect(await deliveryOf(task!)).toMatchObject({ status: 'pending', attempts: 0 });
    expect(await attemptsOf(task!)).toEqual([]);
  });

  it('deletes the outbox row only with the last delivery of the event', async () => {
    const tasks = await leased(3);
    await record(success(tasks[0]!), failure(tasks[1]!));
    expect(await isInOutbox(tasks[0]!)).toBe(true);
    await record(success(tasks[2]!));
    expect(await isInOutbox(tasks[0]!)).toBe(false);
  });

  it('deletes it also when two batches in flight finish the event between them', async () => {
    // A batch has at most 500 rows: these events are in several, two of which are always in flight.
    const events = await Promise.all(Array.from({ length: 7 }, () => leased(300)));
    await record(...events.flat().map((task) => success(task)));
    const ids = events.map(([task]) => task!.event.id);
    const [left] = await rows.query(
      'SELECT count(*)::int AS n FROM event_outbox WHERE event_id = ANY ($1)',
      [ids],
    );
    expect(left).toEqual({ n: 0 });
    const [made] = await rows.query(
      'SELECT count(*)::int AS n FROM deliveries WHERE event_id = ANY ($1)',
      [ids],
    );
    expect(made).toEqual({ n: 2_100 });
  });

  it('changes nothing but the history once another worker has claimed the event', async () => {
    const tasks = await leased(2, LATER);
    await record(...tasks.map((task) => success(task)));
    for (const task of tasks) {
      expect(await deliveryOf(task)).toBeUndefined();
      expect(await attemptsOf(task)).toHaveLength(1);
    }
    expect(await isInOutbox(tasks[0]!)).toBe(true);
  });

  it('does not change the row that another worker wrote first', async () => {
    const [task] = await leased(1);
    await record(success(task!));
    const before = await deliveryOf(task!);
    await rows.query(`INSERT INTO event_outbox VALUES ($1, $2, now(), $3)`, [
      task!.event.id,
      [task!.webhookId],
      LATER,
    ]);
    const source = {
      kind: 'outbox' as const,
      group: { ...groupOf(task!)!, token: LATER, recorded: 0 },
    };
    await record(failure({ ...task!, token: LATER, source }));
    expect(await deliveryOf(task!)).toEqual(before);
    expect(await isInOutbox(task!)).toBe(false);
  });

  it('may be written twice, as after a lost answer of the database', async () => {
    const tasks = await leased(2);
    const list = tasks.map((task) => failure(task));
    await record(...list);
    const before = await Promise.all(tasks.map(deliveryOf));
    for (const { task } of list) groupOf(task)!.recorded = 0;
    await record(...list);
    expect(await Promise.all(tasks.map(deliveryOf))).toEqual(before);
    for (const task of tasks) expect(await attemptsOf(task)).toHaveLength(1);
  });
});

describe('a later outcome', () => {
  const retrying = async (): Promise<DeliveryTask> => {
    const [task] = await leased(1);
    await record(failure(task!));
    return claimed(task!, LATER);
  };

  it('changes the row that is leased under its token, and ends the lease', async () => {
    const task = await retrying();
    await record(success(task));
    expect(await deliveryOf(task)).toMatchObject({
      status: 'success',
      attempts: 2,
      due_at: null,
      lease_token: null,
      last_status_code: 200,
      last_error: null,
      completed_at: expect.any(Date),
    });
    expect((await attemptsOf(task)).map((row) => row['number'])).toEqual([1, 2]);
  });

  it('keeps of each attempt whether its request was sent twice', async () => {
    const [first] = await leased(1);
    await record({ ...failure(first!), attempt: attempt({ statusCode: 503, isResent: true }) });
    const second = await claimed(first!, LATER);
    await record(failure(second));
    const third = await claimed(second, 'process.3');
    const late = { ...third, token: 'process.2' };
    await record(success(third, { isResent: true }));
    await record(success(late, { isResent: true }));
    const resent = (await attemptsOf(third)).map((row) => row['resent']);
    expect(resent).toEqual([true, null, true, true]);
  });

  it('replaces the mark of its attempt with all that is known of it', async () => {
    const [first] = await leased(1);
    const known = { statusCode: null, error: 'tls', message: 'wrong host', isResent: true };
    const failed = attempt({ ...known, responseBody: null });
    const marks = new AttemptMarksStore(rows.postgres);
    await marks.write([{ members: [first!], startedAtMs: failed.startedAtMs }]);
    await record({ ...failure(first!), error: 'tls', attempt: failed });
    const second = await claimed(first!, LATER);
    await record(success(second));
    const [moved] = await rows.query('SELECT * FROM delivery_attempts WHERE delivery_id = $1', [
      first!.deliveryId,
    ]);
    expect(moved).toMatchObject({
      number: 1,
      error: 'tls',
      error_message: 'wrong host',
      resent: true,
    });
  });

  it('is written however many attempts and redrives were before', async () => {
    const task = { ...(await retrying()), attempt: 40_000 };
    await record(failure(task));
    await claimed(task, LATER);
    await record(success({ ...task, attempt: 40_001 }));
    expect(await deliveryOf(task)).toMatchObject({ status: 'success', attempts: 40_001 });
    expect((await attemptsOf(task)).map((row) => row['number'])).toEqual([1, 40_000, 40_001]);
  });

  it('changes nothing but the history once another worker has claimed the row', async () => {
    const task = await retrying();
    await claimed(task, 'process.3');
    const before = await deliveryOf(task);
    await record(success(task));
    expect(await deliveryOf(task)).toEqual(before);
    expect(await attemptsOf(task)).toHaveLength(2);
  });

  it('may be written twice, also with a redrive in between', async () => {
    const task = await retrying();
    const outcome = success(task);
    await record(outcome);
    await rows.query(`UPDATE deliveries SET status = 'pending', due_at = now() WHERE id = $1`, [
      task.deliveryId,
    ]);
    const before = await deliveryOf(task);
    await record(outcome);
    expect(await deliveryOf(task)).toEqual(before);
    expect(await attemptsOf(task)).toHaveLength(2);
  });

  it('without an attempt keeps the answer to the last one', async () => {
    const deferred = await retrying();
    await record({
      task: deferred,
      status: 'retrying',
      next: { kind: 'scheduled', inMs: 1_000 },
      error: null,
      attempt: null,
    });
    expect(await deliveryOf(deferred)).toMatchObject({
      attempts: 1,
      last_status_code: 503,
      last_error: 'http',
    });
    const expired = await claimed({ ...deferred, attempt: 1 }, 'process.3');
    await record({
      task: expired,
      status: 'dead_letter',
      next: FINAL,
      error: 'expired',
      attempt: null,
    });
    expect(await deliveryOf(expired)).toMatchObject({
      status: 'dead_letter',
      attempts: 1,
      last_status_code: 503,
      last_error: 'expired',
    });
  });
});

describe('the answer of a receiver', () => {
  const stored = async (bodies: (string | null)[]): Promise<unknown[]> => {
    const tasks = await leased(bodies.length);
    await record(...tasks.map((task, n) => success(task, { responseBody: bodies[n]! })));
    const found = await Promise.all(tasks.map(attemptsOf));
    return found.map(([row]) => row!['response_body']);
  };

  it('is stored as NULL when it is empty', async () => {
    expect(await stored([''])).toEqual([null]);
    expect(await stored(['', null, 'x', ''])).toEqual([null, null, 'x', null]);
  });

  it('is kept as it is, whatever it contains', { tags: ['properties'] }, async () => {
    const body = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 50 })
      .map((text) => text.toWellFormed().replaceAll(/[\0\u001e\u001f]/gu, '\ufffd'));
    const odd = fc.constantFrom('NULL', 'null', '{}', '\\', '"', "'", ',', '\\N', '$1', '\n', ' ');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(body, odd), { minLength: 1, maxLength: 20 }),
        async (b) => {
          expect(await stored(b)).toEqual(b);
        },
      ),
      { numRuns: propertyRuns(40) },
    );
  });

  it('that cannot be stored fails alone: all others are written', async () => {
    const tasks = await leased(40);
    const list = tasks.map((task, n) => success(task, { responseBody: n === 17 ? '\0' : 'ok' }));
    const settled = await Promise.allSettled(list.map((outcome) => outcomes.record(outcome)));
    const failed = settled.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []));
    expect(failed).toEqual([17]);
    const made = await Promise.all(tasks.map(deliveryOf));
    expect(made.flatMap((row, n) => (row ? [] : [n]))).toEqual([17]);
    // Its outbox row stays: when the lease ends, an attempt is made for that one, and no other.
    expect(await isInOutbox(tasks[17]!)).toBe(true);
  });
});

describe('a store that goes away', () => {
  it('is waited for: no outcome is lost or written twice', async () => {
    const events = await Promise.all(Array.from({ length: 10 }, () => leased(200)));
    const written = record(...events.flat().map((task) => success(task)));
    for (let n = 0; n < 5; n++) await rows.cut().catch(() => undefined);
    await written;
    const ids = events.map(([task]) => task!.event.id);
    const [counts] = await rows.query(
      `SELECT (SELECT count(*)::int FROM deliveries WHERE event_id = ANY ($1)) AS deliveries,
              (SELECT count(*)::int FROM event_outbox WHERE event_id = ANY ($1)) AS pending,
              (SELECT count(*)::int FROM delivery_attempts a JOIN deliveries d
                 ON d.id = a.delivery_id WHERE d.event_id = ANY ($1)) AS late`,
      [ids],
    );
    expect(counts).toEqual({ deliveries: 2_000, pending: 0, late: 0 });
  });

  it('for good is waited for until the process stops', async () => {
    const gone = await DeliveryRows.create();
    const store = new OutcomeStore(gone.postgres, { outcomeRetryMaxMs: 500 });
    const [task] = await leased(1);
    await gone.drop();
    const written = store.record(success(task!));
    store.giveUp();
    await expect(written).rejects.toThrow();
  });
});
