import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementsOf } from './json-array.js';

describe('the elements of an array', () => {
  it('are the texts that it was made of', () => {
    fc.assert(
      fc.property(fc.array(fc.json()), (texts) => {
        expect(elementsOf(`[${texts.join()}]`)).toEqual(texts);
      }),
    );
  });

  it.each(['', '{}', '[', '[1', '[1,]', '[1]x', 'x[1]', '"[1]"'])('are none in %j', (text) => {
    expect(elementsOf(text)).toBeUndefined();
  });
});
