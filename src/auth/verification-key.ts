/** Which algorithms a public key may verify, so that the token never gets to choose (RFC 8725, 3.1). */
import type { KeyObject } from 'node:crypto';
import type { Algorithm } from 'jsonwebtoken';

const RSA_PSS: Algorithm[] = ['PS256', 'PS384', 'PS512'];
const RSA: Algorithm[] = ['RS256', 'RS384', 'RS512', ...RSA_PSS];
const BY_CURVE: Readonly<Record<string, Algorithm>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
};

/** RFC 7518, 3.3: anything shorter can be factored. */
const MIN_RSA_BITS = 2048;

/** Every algorithm that some public key may use; a single key allows fewer. */
export const ASYMMETRIC_ALGORITHMS: readonly Algorithm[] = [...RSA, ...Object.values(BY_CURVE)];

/**
 * What a key may verify; empty for keys that are not to be used: short RSA, curves without an
 * algorithm of their own, and Ed25519, whose EdDSA the library behind passport-jwt does not know.
 */
export function algorithmsOf(key: KeyObject): readonly Algorithm[] {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return modulusLength >= MIN_RSA_BITS ? RSA : [];
    case 'rsa-pss':
      return modulusLength >= MIN_RSA_BITS ? RSA_PSS : [];
    case 'ec': {
      const algorithm = BY_CURVE[namedCurve];
      return algorithm ? [algorithm] : [];
    }
    default:
      return [];
  }
}
