import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomIndex } from './room-index.js';

const room = fc.constantFrom('a', 'b', 'c');
const member = fc.nat(4);
const step = fc.record({ joins: fc.boolean(), room, member });

describe(RoomIndex, () => {
  it('names each member that has joined one of the rooms and not left it, once', () => {
    fc.assert(
      fc.property(fc.array(step), fc.uniqueArray(room), (steps, asked) => {
        const rooms = new RoomIndex<number>();
        const expected = new Map<string, Set<number>>();
        for (const { joins, room: name, member: id } of steps) {
          const members = expected.get(name) ?? new Set();
          expected.set(name, members);
          if (joins) {
            rooms.join(name, id);
            members.add(id);
          } else {
            rooms.leave(name, id);
            members.delete(id);
          }
        }
        const found = asked.flatMap((name) => [...(expected.get(name) ?? [])]);
        expect(new Set(rooms.membersOf(asked))).toEqual(new Set(found));
        expect(rooms.isEmpty).toBe([...expected.values()].every((members) => members.size === 0));
      }),
    );
  });
});
