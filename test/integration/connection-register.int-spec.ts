import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ConnectionRegisterStore,
  type RegisteredConnection,
  type RegisterEntry,
} from '../../src/realtime/lifecycle/connection-register.store.js';
import { RealtimeTotalsStore } from '../../src/realtime/lifecycle/realtime-totals.store.js';
import { newId } from '../../src/shared/ids.js';
import { DeliveryRows } from '../support/delivery-rows.js';

let rows: DeliveryRows;
let register: ConnectionRegisterStore;
let totals: RealtimeTotalsStore;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  register = new ConnectionRegisterStore(rows.postgres);
  totals = new RealtimeTotalsStore(rows.postgres);
});
afterEach(() => rows.drop());

const connection = (ownerId = 'ann'): RegisteredConnection => ({
  id: newId('con'),
  ownerId,
  userId: ownerId,
  address: '127.0.0.1',
  transport: 'websocket',
  connectedAtMs: Date.now(),
  isAnnounced: true,
});

const opened = (given: RegisteredConnection, isKept = true): RegisterEntry => ({
  connection: given,
  isOpened: true,
  isKept,
});

const totalsOf = async (owner: string) => (await totals.ofOwners([owner])).get(owner);

const counts = (totalConnections: number, activeConnections: number, totalMessages = 0) => ({
  totalConnections,
  activeConnections,
  totalMessages,
});

describe('the register of connections', () => {
  it('numbers and counts those of each owner, with and without a row', async () => {
    const [a, b, c, d] = [connection(), connection('bob'), connection(), connection()];
    const entered = await register.enter('n1', [opened(a), opened(b), opened(c, false), opened(d)]);
    expect([a, b, c, d].map(({ id }) => entered.get(id))).toEqual([
      { clientNumber: 1, isNew: true, totals: counts(3, 2) },
      { clientNumber: 1, isNew: true, totals: counts(1, 1) },
      { clientNumber: 2, isNew: true, totals: counts(3, 2) },
      { clientNumber: 3, isNew: true, totals: counts(3, 2) },
    ]);
    await register.remove('n1', [a, b]);
    expect(await totalsOf('ann')).toEqual(counts(3, 1));
    expect(await totalsOf('bob')).toEqual(counts(1, 0));
    expect(await totals.ofAll()).toEqual(counts(4, 1));
  });

  it('counts a connection once, though the answer to its entry was lost', async () => {
    const entries = [opened(connection()), opened(connection())];
    const first = await register.enter('n1', entries);
    const again = await register.enter('n1', entries);
    for (const { connection: each } of entries) {
      const { clientNumber } = first.get(each.id)!;
      expect(again.get(each.id)).toEqual({ clientNumber, isNew: false, totals: counts(2, 2) });
    }
    const gone = entries.map((each) => each.connection);
    for (let times = 0; times < 2; times++) await register.remove('n1', gone);
    expect(await totalsOf('ann')).toEqual(counts(2, 0));
  });

  it('leaves one that comes back to its node its number, and does not count it twice', async () => {
    const lost = connection();
    await register.enter('n1', [opened(lost), opened(connection())]);
    const known = { ...lost, clientNumber: 1 };
    // Another node has taken it for lost, and has not removed it yet.
    expect((await register.enter('n2', [opened(known)])).get(lost.id)).toEqual({
      clientNumber: 1,
      isNew: false,
      totals: counts(2, 2),
    });
    await register.remove('n1', [lost]);
    expect(await totalsOf('ann')).toEqual(counts(2, 2));
    // Or it has.
    await register.remove('n2', [lost]);
    expect((await register.enter('n1', [opened(known)])).get(lost.id)).toEqual({
      clientNumber: 1,
      isNew: true,
      totals: counts(2, 2),
    });
  });

  it('answers for connections that have ended, and for those from before there were numbers', async () => {
    const old = connection();
    await register.enter('n1', [opened(old)]);
    await rows.query('UPDATE realtime_connections SET client_number = NULL');
    const ended = { connection: old, isOpened: false, isKept: false };
    expect((await register.enter('n1', [ended])).get(old.id)).toEqual({
      clientNumber: undefined,
      isNew: false,
      totals: counts(1, 1),
    });
    const unknown = { ...ended, connection: connection('nobody-yet') };
    expect((await register.enter('n1', [unknown])).get(unknown.connection.id)).toMatchObject({
      totals: counts(0, 0),
    });
    expect(await totalsOf('nobody-yet')).toBeUndefined();
  });

  it('is right whatever many nodes do at once', { timeout: 60_000 }, async () => {
    const owners = ['ann', 'bob', 'Zoë', 'émile'];
    const numbers = new Map<string, number[]>(owners.map((owner) => [owner, []]));
    const node = async (id: string) => {
      for (let round = 0; round < 8; round++) {
        const batch = Array.from({ length: 40 }, (_, n) => connection(owners[(n * 7 + round) % 4]));
        const entered = await register.enter(
          id,
          batch.map((each, n) => opened(each, n % 5 > 0)),
        );
        for (const { id: each, ownerId } of batch) {
          numbers.get(ownerId)!.push(entered.get(each)!.clientNumber!);
        }
        // Half of the rows, and a takeover of some by their own node again.
        await register.enter(
          `${id}'`,
          batch.slice(30).map((each) => opened(each)),
        );
        await register.remove(id, batch.slice(0, 20));
        await totals.addMessages(new Map(owners.toReversed().map((owner) => [owner, 2])));
      }
    };
    await Promise.all(Array.from({ length: 6 }, (_, n) => node(`n${n}`)));
    const stored = await rows.query<{ owner_id: string; n: number }>(
      'SELECT owner_id, count(*)::int AS n FROM realtime_connections GROUP BY owner_id',
    );
    for (const owner of owners) {
      const given = numbers.get(owner)!.toSorted((a, b) => a - b);
      expect(new Set(given).size).toBe(given.length);
      const active = stored.find((row) => row.owner_id === owner)!.n;
      const total = await totalsOf(owner);
      expect(total).toMatchObject({ activeConnections: active, totalMessages: 96 });
      expect(given.at(-1)).toBeLessThanOrEqual(total!.totalConnections);
    }
  });
});
