import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSecret, showSecret, validSecrets } from './signing-secret.js';

describe('signing secrets', () => {
  it('show 24 to 64 bytes in whsec_ form and take that form back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 64 }), (bytes) => {
        const shown = showSecret({ key: Buffer.from(bytes).toString('base64') });
        const parsed = parseSecret(shown);
        return parsed.ok && showSecret(parsed.secret) === shown;
      }),
    );
  });

  it('take the bytes of a plain text as the key', () => {
    const parsed = parseSecret('my-own-plain-secret');
    expect(parsed).toEqual({
      ok: true,
      secret: { key: Buffer.from('my-own-plain-secret').toString('base64') },
    });
  });

  it.each([
    'short',
    'x'.repeat(65),
    'with a space in it..',
    'with-a-line-end-in-it\n',
    'umlaut-ä-umlaut-ä-umlaut',
    'whsec_',
    'whsec_c2hvcnQ=',
    `whsec_${Buffer.alloc(65).toString('base64')}`,
    `whsec_!!${Buffer.alloc(32).toString('base64')}`,
  ])('refuse %j with a reason', (given) => {
    expect(parseSecret(given)).toMatchObject({ ok: false, message: expect.any(String) });
  });

  it('sign until they expire, and not a moment longer', () => {
    const secrets = [{ key: 'a' }, { key: 'b', expiresAt: '2026-01-01T00:00:00.000Z' }];
    const end = Date.parse('2026-01-01T00:00:00.000Z');
    expect(validSecrets(secrets, end - 1)).toHaveLength(2);
    expect(validSecrets(secrets, end)).toEqual([{ key: 'a' }]);
  });
});
