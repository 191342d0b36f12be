import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as library from 'ws';
import { clientFrame, FrameParser, OPCODES } from '../../bench/realtime/frames.mjs';
import { PING_FRAME, textFrame } from '../../src/realtime/fanout/frame.js';

/** The frame reader of `ws`, which its types do not declare. */
const { Receiver } = library as unknown as {
  Receiver: new (options: { isServer: boolean }) => NodeJS.EventEmitter & {
    write(data: Buffer): void;
  };
};

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(0, 125, 126, 65_535, 65_536).map((length) => 'x'.repeat(length)),
);

describe(FrameParser, () => {
  it('finds every frame of a server, whatever the pieces of bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(text), { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (texts, cuts) => {
          const frames = texts.map((each) => (each === null ? PING_FRAME : textFrame(each)));
          const bytes = Buffer.concat(frames);
          const found: (string | null)[] = [];
          const parser = new FrameParser((opcode, buffer, start, end) => {
            found.push(opcode === OPCODES.PING ? null : buffer.toString('utf8', start, end));
          });
          const places = cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b);
          let from = 0;
          for (const to of [...places, bytes.length]) {
            // The buffer is overwritten afterwards, as a socket does.
            const chunk = Buffer.from(bytes.subarray(from, to));
            parser.push(chunk);
            chunk.fill(0);
            from = to;
          }
          const asUtf8 = (each: string) => Buffer.from(each).toString();
          expect(found).toEqual(texts.map((each) => (each === null ? null : asUtf8(each))));
        },
      ),
    );
  });
});

describe(clientFrame, () => {
  it.each([0, 125, 126, 65_535])('of %i characters is read by a server', async (length) => {
    const receiver = new Receiver({ isServer: true });
    const read = new Promise((resolve, reject) => {
      receiver.on('message', (data: Buffer) => resolve(data.toString()));
      receiver.on('error', reject);
    });
    receiver.write(clientFrame(OPCODES.TEXT, 'x'.repeat(length)));
    expect(await read).toBe('x'.repeat(length));
  });
});
