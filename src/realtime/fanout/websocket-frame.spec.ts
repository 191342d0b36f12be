import { describe, expect, it } from 'vitest';
import * as library from 'ws';
import { textFrame } from './frame.js';

/** The reader of `ws`, which it exports and its types do not. */
const { Receiver } = library as unknown as {
  Receiver: new (options: { isServer: boolean }) => NodeJS.EventEmitter & {
    write(data: Buffer): void;
  };
};

const read = (frame: Buffer): Promise<{ text: string; isBinary: boolean }> =>
  new Promise((resolve, reject) => {
    const receiver = new Receiver({ isServer: false });
    receiver.on('message', (data: Buffer, isBinary: boolean) =>
      resolve({ text: String(data), isBinary }),
    );
    receiver.on('error', reject);
    receiver.write(frame);
  });

describe(textFrame, () => {
  it.each([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])(
    'of %i characters is read again',
    async (length) => {
      const text = 'x'.repeat(length);
      expect(await read(textFrame(text))).toEqual({ text, isBinary: false });
    },
  );

  it('counts bytes, not characters', async () => {
    const text = 'ü☃𝄞'.repeat(50);
    expect(await read(textFrame(text))).toEqual({ text, isBinary: false });
  });
});
