import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IncomingBatches, OutgoingBatches, startOfBatches } from './batches.js';
import { EventItem } from './bus-channel.js';
import type { RealtimeEvent } from '../shared/envelope.js';

const event = (id: string, body = '{}'): RealtimeEvent => ({
  id,
  ownerId: null,
  type: 'a',
  subject: null,
  body,
});
const events = (count: number, body?: string) =>
  Array.from({ length: count }, (_, n) => event(`evt_${n}`, body));

const LIMITS = { items: 3, length: 100, waitingItems: 10, waitingLength: 1_000 };
const lengthOf = ({ body }: RealtimeEvent) => body.length;
const outgoing = (limits = {}, node = 'sender') =>
  new OutgoingBatches<RealtimeEvent>(node, { ...LIMITS, ...limits }, lengthOf);
const receiver = (node = 'receiver') => new IncomingBatches(node, EventItem);

function* batchesOf(queue: OutgoingBatches<RealtimeEvent>): Generator<string> {
  for (let batch = queue.next(); batch !== undefined; batch = queue.next()) {
    yield batch;
    queue.settle();
  }
}

describe('batches', () => {
  it('carry every event once and in order, whatever is sent twice', () => {
    const arbitraryEvent = fc.record<RealtimeEvent>({
      id: fc.string(),
      ownerId: fc.option(fc.string()),
      type: fc.string(),
      subject: fc.option(fc.string()),
      body: fc.string({ unit: 'binary', maxLength: 20 }),
    });
    fc.assert(
      fc.property(fc.array(arbitraryEvent, { maxLength: 10 }), fc.nat(2), (sent, repetitions) => {
        const queue = outgoing();
        const incoming = receiver();
        const received: RealtimeEvent[] = [];
        expect(queue.add(sent)).toBe(0);
        for (const batch of batchesOf(queue)) {
          for (let n = 0; n <= repetitions; n++) received.push(...incoming.accept(batch)!.items);
        }
        expect(received).toEqual(sent);
      }),
    );
  });

  it('carry several events, up to a number and a size', () => {
    const sizesOf = (queue: OutgoingBatches<RealtimeEvent>) =>
      [...batchesOf(queue)].map((batch) => receiver().accept(batch)!.items.length);
    const many = outgoing();
    many.add(events(7));
    expect(sizesOf(many)).toEqual([3, 3, 1]);
    const large = outgoing();
    large.add([...events(2, 'x'.repeat(60)), ...events(1, 'x'.repeat(500)), ...events(2)]);
    expect(sizesOf(large)).toEqual([1, 1, 1, 2]);
  });

  it('stay the next one until they are settled', () => {
    const queue = outgoing();
    queue.add(events(1));
    const first = queue.next();
    queue.add(events(5));
    expect(queue.next()).toBe(first);
    queue.settle();
    expect(queue.next()).not.toBe(first);
  });

  const idsIn = (queue: OutgoingBatches<RealtimeEvent>) =>
    [...batchesOf(queue)].flatMap((batch) =>
      receiver()
        .accept(batch)!
        .items.map(({ id }) => id),
    );

  it('wait in a bounded number and size; the oldest are dropped, and counted', () => {
    const queue = outgoing();
    expect(queue.add(events(12))).toBe(3);
    expect(idsIn(queue)).toEqual(
      events(12)
        .map(({ id }) => id)
        .slice(3),
    );
    const bySize = outgoing({ waitingLength: 100 });
    expect(bySize.add(events(4, 'x'.repeat(50)))).toBe(2);
    expect(idsIn(bySize)).toEqual(['evt_2', 'evt_3']);
    expect(bySize.add(events(1, 'x'.repeat(500)))).toBe(0);
    expect(idsIn(bySize)).toEqual(['evt_0']);
  });

  it('that were to be sent again are dropped before younger ones', () => {
    const queue = outgoing();
    queue.add(events(10));
    queue.next();
    expect(queue.add(events(20).slice(10))).toBe(12);
    expect(idsIn(queue)[0]).toBe('evt_12');
  });

  it('of this node are ignored by itself', () => {
    const queue = outgoing();
    queue.add(events(1));
    expect(receiver('sender').accept(queue.next()!)?.items).toEqual([]);
  });

  it('of several nodes are counted separately', () => {
    const incoming = receiver();
    for (const node of ['a', 'b', 'c']) {
      const queue = outgoing({}, node);
      queue.add(events(1));
      const received = incoming.accept(queue.next()!);
      expect(received).toMatchObject({ node });
      expect(received?.items).toHaveLength(1);
    }
  });

  it.each([
    '',
    'nonsense',
    'null',
    '[]',
    '{"v":2,"node":"a","seq":1,"items":[]}',
    '{"v":1,"node":"a","seq":0,"items":[]}',
    '{"v":1,"node":"a","seq":1,"items":[{"id":"evt_1"}]}',
    '{"v":1,"node":"a","seq":1,"items":{}}',
  ])('are refused if they are malformed: %s', (message) => {
    expect(receiver().accept(message)).toBeUndefined();
  });
});

describe(startOfBatches.name, () => {
  it('is how the batches of that node begin, and no others', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), (node, other) => {
        const queue = outgoing({}, node);
        queue.add(events(1));
        expect(queue.next()!.startsWith(startOfBatches(node))).toBe(true);
        expect(queue.next()!.startsWith(startOfBatches(other))).toBe(node === other);
      }),
    );
  });
});
