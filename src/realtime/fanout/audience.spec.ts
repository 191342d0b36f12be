import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partitionByAudience } from './audience.js';
import { RoomIndex } from './room-index.js';

const room = fc.constantFrom('a', 'b', 'c', 'd');
const memberships = fc.array(fc.tuple(room, fc.nat(6)));
const events = fc
  .array(fc.uniqueArray(room))
  .map((lists) => lists.map((rooms, index) => ({ index, rooms })));

describe(partitionByAudience, () => {
  it('gives each member, in one group, exactly the events of its rooms in order', () => {
    fc.assert(
      fc.property(memberships, events, (joined, all) => {
        const rooms = new RoomIndex<number>();
        for (const [name, member] of joined) rooms.join(name, member);

        const received = partitionByAudience(all, rooms).flatMap((group) =>
          [...group.members].map((member) => [member, group.events] as const),
        );

        const expected = [...new Set(joined.map(([, member]) => member))]
          .map((member) => [member, all.filter((event) => rooms.has(event.rooms, member))] as const)
          .filter(([, list]) => list.length > 0);
        expect(received.toSorted(([a], [b]) => a - b)).toEqual(
          expected.toSorted(([a], [b]) => a - b),
        );
      }),
    );
  });

  it('puts all members that receive the same into one group', () => {
    const rooms = new RoomIndex<number>();
    for (const member of [1, 2, 3]) rooms.join('a', member);
    for (const member of [2, 3]) rooms.join('b', member);
    const all = [{ rooms: ['a'] }, { rooms: ['b', 'x'] }, { rooms: ['x', 'a'] }, { rooms: ['x'] }];
    const groups = partitionByAudience(all, rooms).map((group) => [...group.members]);
    expect(groups).toEqual([[1], [2, 3]]);
  });

  it('separates rooms whose joined names look like another room', () => {
    const rooms = new RoomIndex<number>();
    for (const [member, name] of ['a', 'b', 'a,b', 'a","b'].entries()) rooms.join(name, member);
    const all = [{ rooms: ['a', 'b'] }, { rooms: ['a,b'] }, { rooms: ['a","b'] }];
    const groups = partitionByAudience(all, rooms).map(({ events: received, members }) => [
      received.map((event) => all.indexOf(event)),
      [...members],
    ]);
    expect(groups).toEqual([
      [[0], [0, 1]],
      [[1], [2]],
      [[2], [3]],
    ]);
  });
});
