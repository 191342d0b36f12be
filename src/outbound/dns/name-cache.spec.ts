import { describe, expect, it } from 'vitest';
import { type NameAnswer, NameCache } from './name-cache.js';

const found = (ttlMs: number, ...addresses: string[]): NameAnswer => ({
  kind: 'addresses',
  addresses,
  ttlMs,
});
const failed = (isSilence: boolean): NameAnswer => ({
  kind: 'failed',
  error: new Error('no'),
  isSilence,
});

describe(NameCache.name, () => {
  it.each<[string, NameAnswer, number]>([
    ['its time to live', found(30_000, '1.1.1.1'), 30_000],
    ['at least a second', found(0, '1.1.1.1'), 1_000],
    ['at most a minute', found(86_400_000, '1.1.1.1'), 60_000],
    ['a second, if there is none', failed(false), 1_000],
    ['five seconds, if no server answers', failed(true), 5_000],
  ])('keeps an answer for %s', (_, answer, ms) => {
    const cache = new NameCache();
    cache.set('hook.example', answer, 100);
    expect(cache.get('hook.example', 100 + ms - 1)).toMatchObject({ kind: answer.kind });
    expect(cache.get('hook.example', 100 + ms)).toBeUndefined();
  });

  it('spreads connections over the addresses, and keeps the preferred family first', () => {
    const cache = new NameCache();
    cache.set('hook.example', found(60_000, '::1', '::2', '1.1.1.1', '1.1.1.2', '1.1.1.3'), 0);
    const firsts = Array.from({ length: 6 }, () => {
      const answer = cache.get('hook.example', 0);
      const { addresses } = answer as Extract<NameAnswer, { kind: 'addresses' }>;
      expect(addresses.toSorted()).toEqual(['1.1.1.1', '1.1.1.2', '1.1.1.3', '::1', '::2']);
      return [addresses[0], addresses[2]];
    });
    expect(new Set(firsts.map(([first]) => first))).toEqual(new Set(['::1', '::2']));
    expect(new Set(firsts.map(([, other]) => other)).size).toBe(3);
  });

  it('is bounded', () => {
    const cache = new NameCache();
    for (let n = 0; n <= 10_000; n++) cache.set(`${n}.example`, found(60_000, '1.1.1.1'), 0);
    expect(cache.get('0.example', 0)).toBeUndefined();
    expect(cache.get('10000.example', 0)).toBeDefined();
  });
});
