import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Member } from '../protocol.js';
import { MemberChanges, PresenceMirror } from './presence-mirror.js';

const member = (n: number): Member => ({ connectionId: `con_${n}`, userId: 'ann', since: 'now' });
const ids = (members: Iterable<Member>) =>
  [...members].map(({ connectionId }) => connectionId).toSorted();

describe('the mirror of the members of a topic', () => {
  it('is equal to the members, and its changes add up to them, whatever messages get lost', () => {
    const step = fc.record({
      toggles: fc.array(fc.nat(8), { maxLength: 6 }),
      isLost: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const here = new Map<string, Member>();
        const changes = new MemberChanges();
        const mirror = new PresenceMirror();
        const notified = new Set<string>();
        const notify = ({ joined, left }: { joined: Member[]; left: Member[] }) => {
          for (const { connectionId } of left) expect(notified.delete(connectionId)).toBe(true);
          for (const { connectionId } of joined) {
            expect(notified.has(connectionId)).toBe(false);
            notified.add(connectionId);
          }
        };
        let version = 1;
        notify(mirror.snapshot('node', version, []));
        for (const { toggles, isLost } of steps) {
          for (const n of toggles) {
            const each = member(n);
            const isJoin = !here.has(each.connectionId);
            if (isJoin) here.set(each.connectionId, each);
            else here.delete(each.connectionId);
            changes.add(each, isJoin);
          }
          const delta = { from: version, to: ++version, ...changes.take() };
          if (isLost) continue;
          const changed = mirror.delta('node', delta);
          notify(changed ?? mirror.snapshot('node', version, [...here.values()]));
          expect(ids(mirror.all())).toEqual(ids(here.values()));
          expect([...notified].toSorted()).toEqual(ids(here.values()));
        }
      }),
    );
  });

  it('keeps nodes apart, and drops the members of one that is gone', () => {
    const mirror = new PresenceMirror();
    mirror.snapshot('a', 1, [member(1), member(2)]);
    mirror.snapshot('b', 7, [member(3)]);
    expect(mirror.versions()).toEqual({ a: 1, b: 7 });
    expect(ids(mirror.drop('a').left)).toEqual(['con_1', 'con_2']);
    expect(ids(mirror.all())).toEqual(['con_3']);
    expect(mirror.drop('a')).toEqual({ joined: [], left: [] });
    expect(mirror.delta('a', { from: 1, to: 2, joined: [], left: [] })).toBeUndefined();
  });
});
