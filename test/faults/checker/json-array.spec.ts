import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementsOf } from './json-array.js';

describe('the elements of an array', () => {
  it('are the texts from which it was built', () => {
    fc.assert(
      fc.property(fc.array(fc.json()), (texts) => {
        expect(elementsOf(`[${texts.join()}]`)).toEqual(texts);
      }),
    );
  });

  it.each(['', '{}', '[', '[1', '[1,]', '[1]x', 'x[1]', '"[1]"'])('do not exist in %j', (text) => {
    expect(elementsOf(text)).toBeUndefined();
  });
});
