import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { algorithmsOf } from './verification-key.js';

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).publicKey;

describe(algorithmsOf, () => {
  it.each([
    ['P-256', ['ES256']],
    ['P-384', ['ES384']],
    ['P-521', ['ES512']],
    ['secp256k1', []],
  ])('lets the curve %s verify %j', (curve, algorithms) => {
    expect(algorithmsOf(ec(curve))).toEqual(algorithms);
  });

  it.each([
    [2048, true],
    [1024, false],
  ])('uses RSA keys of %i bits: %s', (modulusLength, used) => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength });
    expect(algorithmsOf(publicKey).length > 0).toBe(used);
  });

  it('never lets a public key verify an HMAC, nor a secret a signature', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    expect(algorithmsOf(publicKey).some((name) => name.startsWith('HS'))).toBe(false);
    expect(algorithmsOf(createSecretKey(Buffer.alloc(32)))).toEqual([]);
  });

  it('does not use keys that tokens cannot be checked with', () => {
    expect(algorithmsOf(generateKeyPairSync('ed25519').publicKey)).toEqual([]);
  });
});
