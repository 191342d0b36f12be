import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Child } from '../../bench/child.mjs';
import { findStamp, stampedData, writeStamp } from '../../bench/stamp.mjs';

interface Seen {
  inWindow: number;
  successes: number;
  byOrigin: number[];
  received: number;
  duplicates: number;
  misdirected: number;
}

/** A delivery of this event that the receiver takes as published now. */
function delivery(sequence: number): Buffer {
  const body = Buffer.from(JSON.stringify({ data: stampedData(200) }));
  writeStamp(body, findStamp(body), 1, sequence);
  return body;
}

describe("the benchmark's receiver", () => {
  let receiver: Child;
  let origins: string[];

  beforeEach(async () => {
    receiver = new Child('receiver.mjs');
    const listening = receiver.call('listen', { address: '127.0.0.1', host: '127.0.0.1' });
    origins = (await listening) as string[];
  });

  afterEach(() => receiver.stop());

  const begin = (excluded: number[] = []) =>
    receiver.call('begin', {
      first: 0,
      fanOut: 1,
      fromUs: 0,
      toUs: Number.MAX_SAFE_INTEGER,
      reportsProgress: false,
      excluded,
      sink: { signedWith: null, decoder: null },
    });

  const send = async (webhook: number, sequence = webhook) => {
    const body = new Uint8Array(delivery(sequence));
    const { status } = await fetch(`${origins[webhook]}/hook`, { method: 'POST', body });
    return status;
  };

  it('answers for each origin as configured, and counts each one separately', async () => {
    await receiver.call('behave', [{ webhook: 1, status: 500 }]);
    await begin();
    expect([await send(0), await send(1), await send(1), await send(2)]).toEqual([
      200, 500, 500, 200,
    ]);
    const seen = (await receiver.call('end')) as Seen;
    expect(seen.byOrigin.slice(0, 4)).toEqual([1, 2, 1, 0]);
    expect(seen).toMatchObject({ inWindow: 4, successes: 2, received: 3, duplicates: 1 });
  });

  it('delays the answers of an origin until its behaviour is changed', async () => {
    await receiver.call('behave', [{ webhook: 0, delayMs: 600_000 }]);
    await begin();
    const slow = send(0);
    expect(await send(1)).toBe(200);
    await receiver.call('behave', []);
    expect(await slow).toBe(200);
    expect(await send(0)).toBe(200);
  });

  it('expects no deliveries to excluded webhooks', async () => {
    await begin([0]);
    await send(0);
    await send(0);
    expect(await receiver.call('missing', { events: 2, refused: [] })).toBe(1);
    await send(1);
    expect(await receiver.call('missing', { events: 2, refused: [] })).toBe(0);
    const seen = (await receiver.call('end')) as Seen;
    expect(seen).toMatchObject({ inWindow: 3, received: 1, duplicates: 0, misdirected: 0 });
  });
});
