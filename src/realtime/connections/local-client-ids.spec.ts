import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { outcomeOf } from './local-client-ids.service.js';

interface Client {
  id: string;
  takeover: { seen: string[] };
}

/** Whether the second one survives the takeover of the first, and the other way round. */
const survivors = (one: Client, other: Client): string[] => {
  const claim = ({ id, takeover }: Client) => ({ connectionId: id, ...takeover });
  const lost = new Set<string>();
  for (const [claimant, target] of [
    [one, other],
    [other, one],
  ] as const) {
    const outcome = outcomeOf(target, claim(claimant));
    if (outcome === 'loses') lost.add(target.id);
    if (outcome === 'wins') lost.add(claimant.id);
  }
  return [one.id, other.id].filter((id) => !lost.has(id));
};

describe('two connections that take over from each other', () => {
  const ids = fc.uniqueArray(fc.constantFrom('con_1', 'con_2', 'con_3'), {
    minLength: 2,
    maxLength: 2,
  });

  it('end with the one of the greater id, if both came at once', () => {
    fc.assert(
      fc.property(ids, ([a, b]) => {
        const clients = [a!, b!].map((id) => ({ id, takeover: { seen: [] } }));
        expect(survivors(clients[0]!, clients[1]!)).toEqual([[a!, b!].sort().at(-1)]);
      }),
    );
  });

  it('end with the one that has seen the other, whatever their clocks say', () => {
    fc.assert(
      fc.property(ids, ([older, newer]) => {
        const first = { id: older!, takeover: { seen: [] } };
        const second = { id: newer!, takeover: { seen: [older!] } };
        expect(survivors(first, second)).toEqual([newer]);
        expect(survivors(second, first)).toEqual([newer]);
      }),
    );
  });

  it('leave a later one alone that takes over from none', () => {
    expect(
      outcomeOf({ id: 'con_2', takeover: undefined }, { connectionId: 'con_1', seen: [] }),
    ).toBe('stays');
    expect(
      outcomeOf({ id: 'con_0', takeover: undefined }, { connectionId: 'con_1', seen: [] }),
    ).toBe('loses');
  });
});
