import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import { firstAttempts } from '../../src/delivery/sending/task.js';
import { type ClaimedDelivery, taskOf } from '../../src/delivery/claims/claimed-delivery.js';
import { AttemptMarksStore } from '../../src/delivery/sending/attempt-marks.store.js';
import { DueDeliveriesStore } from '../../src/delivery/claims/due.store.js';
import { OutboxStore } from '../../src/delivery/claims/outbox.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';

const LEASE_MS = 60_000;

let rows: DeliveryRows;
let outbox: OutboxStore;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  outbox = new OutboxStore(rows.postgres);
});
afterEach(() => rows.drop());

const idsOf = (events: readonly { id: string }[]): string[] => events.map(({ id }) => id).sort();

const tokens = (): Promise<{ event_id: string; lease_token: string | null }[]> =>
  rows.query('SELECT event_id, lease_token FROM event_outbox ORDER BY event_id');

/** All leases end now. */
const endLeases = () => rows.query('UPDATE event_outbox SET due_at = now()');

describe('events that were handed over', () => {
  it('are claimed by the first worker, with all that their deliveries need', async () => {
    const webhook = newId('wh');
    const [a, b] = [await rows.addPending([webhook]), await rows.addPending(null)];
    const claimed = await outbox.claim([a, b, newId('evt')], 'p.1', LEASE_MS);
    expect(idsOf(claimed)).toEqual([a, b]);
    expect(claimed.find(({ id }) => id === a)).toEqual({
      id: a,
      ownerId: null,
      type: 'stored.event',
      subject: null,
      body: `{"id":"${a}"}`,
      priority: 1,
      expiresAtMs: undefined,
      webhookIds: [webhook],
      wasTaken: false,
      lostLeases: 0,
    });
    expect(await outbox.claim([a, b], 'p.2', LEASE_MS)).toEqual([]);
    // Nor after the lease: its worker may have sent some, which only the sweepers take into account.
    await endLeases();
    expect(await outbox.claim([a, b], 'p.2', LEASE_MS)).toEqual([]);
    expect((await tokens()).map((row) => row.lease_token)).toEqual(['p.1', 'p.1']);
  });

  it('are claimed by one worker each when many claim at once', async () => {
    const ids = await Promise.all(Array.from({ length: 60 }, () => rows.addPending([newId('wh')])));
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, n) => outbox.claim(ids, `p.${n}`, LEASE_MS)),
    );
    expect(idsOf(claims.flat())).toEqual([...ids].sort());
  });
});

describe('events that are due', () => {
  it('are claimed in bounded batches, by one sweeper each', async () => {
    const ids = await Promise.all(
      Array.from({ length: 100 }, () => rows.addPending([newId('wh')])),
    );
    await rows.addPending([newId('wh')], { dueInMs: 60_000 });
    const claims = await Promise.all(
      Array.from({ length: 8 }, (_, n) => outbox.claimDue(20, `p.${n}`, LEASE_MS)),
    );
    for (const claim of claims) expect(claim.length).toBeLessThanOrEqual(20);
    const more = await outbox.claimDue(100, 'p.last', LEASE_MS);
    expect(idsOf([...claims.flat(), ...more])).toEqual([...ids].sort());
    expect(await outbox.claimDue(100, 'p.none', LEASE_MS)).toEqual([]);
  });

  it('are also those with a lost lease, which they show', async () => {
    const id = await rows.addPending([newId('wh')]);
    await outbox.claim([id], 'p.1', LEASE_MS);
    expect(await outbox.claimDue(10, 'p.2', LEASE_MS)).toEqual([]);
    await endLeases();
    expect(await outbox.claimDue(10, 'p.2', LEASE_MS)).toMatchObject([{ id, wasTaken: true }]);
  });

  it('are claimed also when they were committed after younger ones', async () => {
    const late = rows.dataSource.createQueryRunner();
    await late.startTransaction();
    const [older, younger] = [newId('evt'), newId('evt')];
    const insert = `WITH e AS (INSERT INTO events (id, type, body, priority) VALUES ($1, 't', '{}', 1))
                 INSERT INTO event_outbox VALUES ($1, NULL, now(), NULL)`;
    await late.query(insert, [older]);
    await rows.query(insert, [younger]);
    expect(idsOf(await outbox.claimDue(10, 'p.1', LEASE_MS))).toEqual([younger]);
    await late.commitTransaction();
    await late.release();
    expect(idsOf(await outbox.claimDue(10, 'p.1', LEASE_MS))).toEqual([older]);
  });
});

describe('a worker whose lease was lost', () => {
  it('can neither forget the event nor release it', async () => {
    const id = await rows.addPending([newId('wh')]);
    await outbox.claim([id], 'p.1', LEASE_MS);
    await endLeases();
    await outbox.claimDue(10, 'p.2', LEASE_MS);
    await outbox.forget([id], 'p.1');
    await outbox.release([{ eventId: id, token: 'p.1' }]);
    expect(await tokens()).toEqual([{ event_id: id, lease_token: 'p.2' }]);
    expect(await outbox.claimDue(10, 'p.3', LEASE_MS)).toEqual([]);
    await outbox.forget([id], 'p.2');
    expect(await tokens()).toEqual([]);
  });
});

describe('an event whose lease is released', () => {
  it('is due at once, for the sweepers, and shows that it was claimed', async () => {
    const [a, b] = [await rows.addPending([newId('wh')]), await rows.addPending([newId('wh')])];
    await outbox.claim([a, b], 'p.1', LEASE_MS);
    await outbox.release([
      { eventId: a, token: 'p.1' },
      { eventId: b, token: 'p.of-another' },
    ]);
    expect(await outbox.claim([a, b], 'p.2', LEASE_MS)).toEqual([]);
    expect(await outbox.claimDue(10, 'p.2', LEASE_MS)).toMatchObject([{ id: a, wasTaken: true }]);
  });
});

describe('no events', () => {
  it('change nothing', async () => {
    const id = await rows.addPending([newId('wh')]);
    expect(await outbox.claim([], 'p.1', LEASE_MS)).toEqual([]);
    expect(await outbox.existing([])).toEqual(new Set());
    await outbox.forget([], 'p.1');
    await outbox.release([]);
    expect(await tokens()).toEqual([{ event_id: id, lease_token: null }]);
  });
});

describe('deliveries whose first outcome is written', () => {
  it('are distinguished from the others', async () => {
    const webhooks = Array.from({ length: 5 }, () => newId('wh'));
    const event = await rows.addPending(webhooks);
    const ids = webhooks.map((webhook) => deliveryId(event, webhook));
    await rows.query(
      `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts)
       SELECT unnest($1::text[]), $2, 'wh', 't', 'success', 1`,
      [ids.slice(0, 2), event],
    );
    expect(await outbox.existing(ids)).toEqual(new Set(ids.slice(0, 2)));
  });
});

describe('an event whose leases end without its outcomes', () => {
  it('counts them, but not those that were released', async () => {
    await rows.addPending([newId('wh')]);
    const claim = async (token: string) => (await outbox.claimDue(10, token, LEASE_MS))[0]!;
    expect(await claim('p.1')).toMatchObject({ lostLeases: 0 });
    await endLeases();
    const { id, lostLeases } = await claim('p.2');
    expect(lostLeases).toBe(1);
    await outbox.release([{ eventId: id, token: 'p.2' }]);
    expect(await claim('p.3')).toMatchObject({ lostLeases: 1 });
    await endLeases();
    expect(await claim('p.4')).toMatchObject({ lostLeases: 2 });
  });

  it('is split into deliveries, which count the attempts that were made under lost leases', async () => {
    const webhooks = [newId('wh'), newId('wh')];
    const id = await rows.addPending(webhooks);
    await rows.query('UPDATE event_outbox SET lost_leases = 1');
    const [event] = await outbox.claimDue(10, 'p.1', LEASE_MS);
    const body = Buffer.from(event!.body);
    const toDeliver = {
      id,
      ownerId: null,
      type: event!.type,
      body,
      priority: 1,
      expiresAtMs: undefined,
    };
    await outbox.split(firstAttempts(toDeliver, webhooks, { token: 'p.1', endsMs: 0 }), 'p.1');
    expect(await tokens()).toEqual([]);

    const due = new DueDeliveriesStore(rows.postgres);
    const [first, second] = await due.claim(10, 'p.2', LEASE_MS);
    expect(new Set([first?.webhookId, second?.webhookId])).toEqual(new Set(webhooks));
    expect([first, second]).toMatchObject(
      Array.from({ length: 2 }, () => ({ attempts: 0, lostLeases: 1, isLost: false })),
    );
  });
});

/** What a worker does: it marks the attempt, and is lost before there is an outcome. */
async function crashDuring(claimed: ClaimedDelivery, startedAtMs: number): Promise<void> {
  const lease = { token: 'p.x', ms: LEASE_MS, endsMs: 0 };
  const task = taskOf(claimed, lease, { kind: 'due' });
  await new AttemptMarksStore(rows.postgres).write([{ members: [task], startedAtMs }]);
}

describe('a delivery whose lease was lost', () => {
  const START = 1_790_000_000_000;
  const deliver = async (more = ''): Promise<string> => {
    const event = await rows.addPending([]);
    const id = deliveryId(event, newId('wh'));
    await rows.query(
      `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, due_at
         ${more && ', last_attempt_at, last_status_code, last_attempt_error, last_duration_ms'})
       VALUES ($1, $2, 'wh', 't', 'retrying', ${more ? 1 : 0}, now() ${more})`,
      [id, event],
    );
    return id;
  };
  const claimAgain = async (token: string): Promise<ClaimedDelivery> => {
    await rows.query('UPDATE deliveries SET due_at = now()');
    const [claimed] = await new DueDeliveriesStore(rows.postgres).claim(10, token, LEASE_MS);
    return claimed!;
  };

  it('counts each attempt that was made, without using up its budget', async () => {
    await deliver();
    let claimed = await claimAgain('p.0');
    for (let crash = 1; crash <= 4; crash++) {
      await crashDuring(claimed, START + crash);
      claimed = await claimAgain(`p.${crash}`);
      const counts = { attempts: crash, budgetStart: crash, lostLeases: crash };
      expect(claimed).toMatchObject({ ...counts, isLost: true });
    }
  });

  it('is not suspected of crashes in which it was not attempted', async () => {
    await deliver();
    await claimAgain('p.0');
    for (let crash = 1; crash <= 6; crash++) {
      expect(await claimAgain(`p.${crash}`)).toMatchObject({ attempts: 0, lostLeases: 1 });
    }
  });

  it('keeps the attempt before in its history, with all that is known of it', async () => {
    const id = await deliver(`, to_timestamp(${START / 1000}), NULL, 'tls', 7`);
    const known = 'last_attempt_message = $1, last_attempt_resent = true';
    await rows.query(`UPDATE deliveries SET ${known}`, ['the certificate has expired']);
    await crashDuring(await claimAgain('p.0'), START + 1);
    expect(await claimAgain('p.1')).toMatchObject({ attempts: 2, budgetStart: 1 });
    const history = await rows.query(
      `SELECT number, status_code, error, error_message, resent
         FROM delivery_attempts WHERE delivery_id = $1 ORDER BY number`,
      [id],
    );
    const interrupted = { status_code: null, error: 'interrupted', error_message: null };
    expect(history).toEqual([
      {
        number: 1,
        status_code: null,
        error: 'tls',
        error_message: 'the certificate has expired',
        resent: true,
      },
      { number: 2, ...interrupted, resent: null },
    ]);
    const [row] = await rows.query(
      `SELECT last_error, last_status_code, last_attempt_message, last_attempt_resent FROM deliveries`,
    );
    expect(row).toEqual({
      last_error: 'interrupted',
      last_status_code: null,
      last_attempt_message: null,
      last_attempt_resent: null,
    });
  });
});
