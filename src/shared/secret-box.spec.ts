import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { open, seal } from './secret-box.js';

const key = randomBytes(32);
const text = fc.string({ unit: 'grapheme' });

describe('secret box', () => {
  it('opens what it sealed', () => {
    fc.assert(
      fc.property(text, text, (context, secret) => {
        const sealed = seal(key, context, secret, randomBytes(12));
        return open(key, context, sealed) === secret;
      }),
    );
  });

  it('does not open in the place of another row, or with another key', () => {
    const sealed = seal(key, 'wh_1', 'secret', randomBytes(12));
    expect(() => open(key, 'wh_2', sealed)).toThrow();
    expect(() => open(randomBytes(32), 'wh_1', sealed)).toThrow();
  });

  it('does not open after any bit was changed', () => {
    const sealed = seal(key, 'wh_1', 'secret', randomBytes(12));
    const bytes = Buffer.from(sealed.slice(3), 'base64');
    for (let index = 0; index < bytes.length; index++) {
      const changed = Buffer.from(bytes);
      changed[index]! ^= 1;
      expect(() => open(key, 'wh_1', `v1.${changed.toString('base64')}`)).toThrow();
    }
  });
});
