import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ConnectionChange, eventsOf, planOf } from './connection-changes.js';
import type { Entered, RegisteredConnection, RegisterEntry } from './connection-register.store.js';

const connection = (n: number, isAnnounced = true, ownerId = 'acme'): RegisteredConnection => ({
  id: `con_${n}`,
  ownerId,
  userId: 'alice',
  address: '127.0.0.1',
  transport: 'websocket',
  connectedAtMs: 1_000,
  isAnnounced,
});
const end = { reason: 'client_left', atMs: 3_500 } as const;

/** The register, as its statements keep it. */
class MemoryRegister {
  readonly rows = new Map<string, RegisteredConnection>();
  readonly opened = new Map<string, number>();
  readonly numbers = new Map<string, number>();

  enter(entries: readonly RegisterEntry[]): Map<string, Entered> {
    const fresh = entries.filter(
      ({ connection: { id }, isOpened }) => isOpened && !this.rows.has(id),
    );
    for (const { connection: each, isKept } of fresh) {
      const { id, ownerId } = each;
      if (each.clientNumber === undefined) {
        this.opened.set(ownerId, (this.opened.get(ownerId) ?? 0) + 1);
        this.numbers.set(id, this.opened.get(ownerId)!);
      }
      if (isKept) this.rows.set(id, each);
    }
    return new Map(
      entries.map(({ connection: { id, ownerId } }) => [
        id,
        {
          clientNumber: this.numbers.get(id),
          isNew: fresh.some((each) => each.connection.id === id),
          totals: {
            totalConnections: this.opened.get(ownerId) ?? 0,
            activeConnections: this.activeOf(ownerId),
            totalMessages: 0,
          },
        },
      ]),
    );
  }

  activeOf(owner: string): number {
    return [...this.rows.values()].filter(({ ownerId }) => ownerId === owner).length;
  }

  /** Writes them as a node does. @returns the events */
  write(changes: readonly ConnectionChange[]) {
    const { entries, removed } = planOf(changes, (id) => this.numbers.get(id));
    // A connection that was opened and closed needs no row.
    expect(removed.filter(({ id }) => !this.rows.has(id))).toEqual([]);
    const events = eventsOf(changes, this.enter(entries));
    for (const { id } of removed) this.rows.delete(id);
    return events;
  }
}

// Each number: a connection that comes the first time and goes the second; odd ones of another owner.
const histories = fc.array(fc.nat(5), { maxLength: 40 }).map((numbers) => {
  const times = new Map<number, number>();
  return numbers.flatMap((n): ConnectionChange[] => {
    const time = times.get(n) ?? 0;
    times.set(n, time + 1);
    const each = connection(n, true, n % 2 ? 'acme' : 'bravo');
    if (time > 1) return [];
    return [time === 0 ? { connection: each } : { connection: each, end }];
  });
});

describe('the changes of connections', () => {
  it('are published once each, in order, however they are collected', () => {
    fc.assert(
      fc.property(histories, fc.nat(40), (changes, cut) => {
        const register = new MemoryRegister();
        const published = [changes.slice(0, cut), changes.slice(cut)].flatMap((part) =>
          register.write(part).map(({ type, subject }) => ({ type, subject })),
        );
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
        expect([...register.rows.keys()].sort()).toEqual(
          open.map((each) => each.connection.id).sort(),
        );
      }),
    );
  });

  it('have the counts of their owner right after each, however they are collected', () => {
    fc.assert(
      fc.property(histories, fc.nat(40), (changes, cut) => {
        const register = new MemoryRegister();
        const events = [changes.slice(0, cut), changes.slice(cut)].flatMap((part) =>
          register.write(part),
        );
        const counts = new Map<string, { total: number; active: number }>();
        const numbers = new Map<string, number>();
        for (const [at, { connection: each, end: isOver }] of changes.entries()) {
          const count = counts.get(each.ownerId) ?? { total: 0, active: 0 };
          counts.set(each.ownerId, count);
          if (!isOver) numbers.set(each.id, ++count.total);
          count.active += isOver ? -1 : 1;
          expect(events[at]?.data).toMatchObject({
            clientNumber: numbers.get(each.id),
            totalConnections: count.total,
            [isOver ? 'remainingConnections' : 'activeConnections']: count.active,
          });
        }
      }),
    );
  });

  it('leave a connection that is entered again its number', () => {
    const register = new MemoryRegister();
    register.write([{ connection: connection(1) }, { connection: connection(2) }]);
    // Another node has taken it for lost, and has published that.
    register.rows.delete('con_1');
    const again = { ...connection(1), clientNumber: 1 };
    expect(register.write([{ connection: again }]).map(({ data }) => data)).toMatchObject([
      { clientNumber: 1, totalConnections: 2, activeConnections: 2 },
    ]);
  });

  it('say how long a connection lasted, and never less than nothing', () => {
    const durationsOf = (atMs: number) =>
      eventsOf([{ connection: connection(1), end: { ...end, atMs } }], new Map()).map(
        ({ data }) => data['durationMs'],
      );
    expect(durationsOf(3_500)).toEqual([2_500]);
    expect(durationsOf(500)).toEqual([0]);
  });

  it('of connections that are not announced are registered and counted, too', () => {
    const register = new MemoryRegister();
    const events = register.write([
      { connection: connection(1, false) },
      { connection: connection(2) },
      { connection: connection(1, false), end },
      { connection: connection(3) },
    ]);
    expect(events.map(({ subject, data }) => [subject, data['activeConnections']])).toEqual([
      ['con_2', 2],
      ['con_3', 2],
    ]);
  });
});
