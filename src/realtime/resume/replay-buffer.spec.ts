import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplayBuffer } from './replay-buffer.js';

const frame = (text: string) => ({ text, bytes: Buffer.from(text) });

/** What a connection is sent: replayed events, live ones that pass, and those that were kept back. */
class Client {
  readonly buffer = new ReplayBuffer();
  readonly seen: string[] = [];

  live(id: string): void {
    if (!this.buffer.stops(id, frame(id))) this.seen.push(id);
  }

  replayed(id: string): void {
    if (this.buffer.replays(id)) this.seen.push(id);
  }

  open(): void {
    this.seen.push(...this.buffer.open().map(({ text }) => text));
  }
}

describe(ReplayBuffer.name, () => {
  it('keeps live events back until it is opened, in their order', () => {
    const client = new Client();
    client.live('c');
    client.live('d');
    client.replayed('a');
    expect(client.seen).toEqual(['a']);
    expect(client.buffer.waitingBytes).toBe(2);
    client.open();
    client.live('e');
    expect(client.seen).toEqual(['a', 'c', 'd', 'e']);
    expect(client.buffer.waitingBytes).toBe(0);
  });

  it('lets no event pass twice, whether it is replayed or live first', () => {
    const client = new Client();
    client.live('b');
    client.live('b');
    client.replayed('a');
    client.replayed('a');
    client.replayed('b');
    client.open();
    client.live('a');
    client.live('b');
    expect(client.seen).toEqual(['a', 'b']);
  });

  it('loses and repeats nothing, however replayed and live events interleave', () => {
    const step = fc.record({ id: fc.integer({ min: 0, max: 12 }), isLive: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, openAt) => {
        const client = new Client();
        let isOpen = false;
        const given = new Set<string>();
        const doubled = new Set<string>();
        steps.forEach(({ id, isLive }, index) => {
          if (index === openAt) client.open();
          isOpen ||= index >= openAt;
          const name = String(id);
          // Nothing is replayed after the end of the replay; and a live event comes once.
          if (isLive && doubled.has(name)) return;
          if (isLive) doubled.add(name);
          if (!isLive && isOpen) return;
          given.add(name);
          if (isLive) client.live(name);
          else client.replayed(name);
        });
        if (!isOpen) client.open();
        expect([...client.seen].sort()).toEqual([...given].sort());
      }),
    );
  });
});
