import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupOf, Receipts, WEBHOOKS } from '../../bench/receipts.mjs';
import {
  findStamp,
  readSentAtUs,
  readSequence,
  stampedData,
  writeStamp,
} from '../../bench/stamp.mjs';

const fanOut = fc.constantFrom(1, 10);

/** The deliveries that are expected for a number of events. */
function expected(
  first: number,
  events: number,
  recipients: number,
): [sequence: number, webhook: number][] {
  return Array.from({ length: events * recipients }, (_, index) => {
    const sequence = first + Math.floor(index / recipients);
    return [sequence, groupOf(sequence, recipients) * recipients + (index % recipients)];
  });
}

describe("the benchmark's receipts", () => {
  it('count exactly the missing and the duplicate deliveries', () => {
    const losses = fc.array(fc.boolean(), { minLength: 200, maxLength: 200 });
    fc.assert(
      fc.property(
        fc.nat(1_000),
        fc.integer({ min: 1, max: 20 }),
        fanOut,
        losses,
        (first, events, recipients, lost) => {
          const receipts = new Receipts();
          receipts.begin(first, recipients);
          const all = expected(first, events, recipients);
          const arriving = all.filter((_, index) => !lost[index]);
          for (const [sequence, webhook] of [...arriving, ...arriving])
            receipts.record(sequence, webhook);
          expect(receipts.missing(events, [])).toBe(all.length - arriving.length);
          expect(receipts.received).toBe(arriving.length);
          expect(receipts.duplicates).toBe(arriving.length);
          expect(receipts.misdirected).toBe(0);
        },
      ),
    );
  });

  it('expect no delivery of an event that was refused', () => {
    const receipts = new Receipts();
    receipts.begin(40, 10);
    expect(receipts.missing(3, [41])).toBe(20);
  });

  it('find a delivery to a webhook that is not subscribed', () => {
    const receipts = new Receipts();
    receipts.begin(0, 10);
    receipts.record(3, (30 + 10) % WEBHOOKS);
    expect(receipts).toMatchObject({ received: 0, duplicates: 0, misdirected: 1 });
  });

  it('neither expect nor count deliveries of excluded webhooks', () => {
    const receipts = new Receipts();
    receipts.begin(0, 10, [1, 12]);
    for (const [sequence, webhook] of [...expected(0, 2, 10), ...expected(0, 2, 10)]) {
      if (webhook === 1 || webhook === 12) receipts.record(sequence, webhook);
    }
    expect(receipts.missing(2, [])).toBe(18);
    expect(receipts).toMatchObject({ received: 0, duplicates: 0, misdirected: 0 });
  });

  it('store more events than the initial capacity', () => {
    const receipts = new Receipts();
    receipts.begin(0, 1);
    const last = 200_000;
    for (let sequence = 0; sequence <= last; sequence += 1)
      receipts.record(sequence, groupOf(sequence, 1));
    expect(receipts.missing(last + 1, [])).toBe(0);
  });
});

describe("the benchmark's stamp", () => {
  it('is read as it was written, and keeps the length of the text', () => {
    const at = fc.nat(2 ** 50);
    fc.assert(
      fc.property(
        at,
        fc.nat(9_999_999_999),
        fc.integer({ min: 200, max: 4_096 }),
        (sentAtUs, sequence, bytes) => {
          const buffer = Buffer.from(JSON.stringify({ id: 'evt_1', data: stampedData(bytes) }));
          const stamp = findStamp(buffer);
          writeStamp(buffer, stamp, sentAtUs, sequence);
          expect(readSentAtUs(buffer, stamp)).toBe(sentAtUs);
          expect(readSequence(buffer, stamp)).toBe(sequence);
          expect(
            JSON.stringify((JSON.parse(buffer.toString()) as { data: unknown }).data),
          ).toHaveLength(bytes);
        },
      ),
    );
  });

  it('is found when a server reorders or reformats the members around it', () => {
    const { stamp, padding } = stampedData(400);
    const body = Buffer.from(JSON.stringify({ z: { padding, stamp } }, undefined, 2));
    writeStamp(body, findStamp(body), 123, 45);
    expect(readSequence(body, findStamp(body))).toBe(45);
  });

  it('is not found in text without a stamp, or with only a part of one', () => {
    expect(findStamp(Buffer.from('{"data":{}}'))).toBe(-1);
    const whole = Buffer.from(JSON.stringify(stampedData(100)));
    const at = findStamp(whole);
    expect(findStamp(whole, 0, at + 20)).toBe(-1);
  });
});
