import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ConnectionChange, planOf } from './connection-changes.js';
import type { RegisteredConnection } from './connection-register.store.js';

const connection = (n: number, isAnnounced = true): RegisteredConnection => ({
  id: `con_${n}`,
  ownerId: 'acme',
  userId: 'alice',
  address: '127.0.0.1',
  transport: 'websocket',
  connectedAtMs: 1_000,
  isAnnounced,
});
const end = { reason: 'client_left', atMs: 3_500 } as const;

describe(planOf, () => {
  it('publishes of every connection once that it opened and then once that it ended', () => {
    // Each number: a connection that comes the first time and goes the second.
    const history = fc.array(fc.nat(5), { maxLength: 40 }).map((numbers) => {
      const times = new Map<number, number>();
      return numbers.flatMap((n): ConnectionChange[] => {
        const time = times.get(n) ?? 0;
        times.set(n, time + 1);
        if (time > 1) return [];
        return [time === 0 ? { connection: connection(n) } : { connection: connection(n), end }];
      });
    });
    fc.assert(
      fc.property(history, fc.nat(40), (changes, cut) => {
        const rows = new Set<string>();
        const published: unknown[] = [];
        for (const part of [changes.slice(0, cut), changes.slice(cut)]) {
          const { added, events, removed } = planOf(part);
          // A connection that was opened and closed needs no row.
          expect(added.filter(({ id }) => removed.includes(id))).toEqual([]);
          for (const { id } of added) rows.add(id);
          for (const id of removed) expect(rows.delete(id)).toBe(true);
          published.push(...events.map(({ type, subject }) => ({ type, subject })));
        }
        expect(published).toEqual(
          changes.map(({ connection: { id }, end: isOver }) => ({
            type: isOver ? 'client-disconnected' : 'client-connected',
            subject: id,
          })),
        );
        const open = changes.filter(
          ({ connection: { id } }) =>
            !changes.some((other) => other.end && other.connection.id === id),
        );
        expect([...rows].sort()).toEqual(open.map((each) => each.connection.id).sort());
      }),
    );
  });

  it('says how long it lasted, and never less than nothing', () => {
    const durationsOf = (atMs: number) =>
      planOf([{ connection: connection(1), end: { ...end, atMs } }]).events.map(
        ({ data }) => data['durationMs'],
      );
    expect(durationsOf(3_500)).toEqual([2_500]);
    expect(durationsOf(500)).toEqual([0]);
  });

  it('registers connections that are not announced, too', () => {
    const plan = planOf([{ connection: connection(1, false) }]);
    expect(plan).toMatchObject({ added: [{ id: 'con_1' }], events: [] });
  });
});
