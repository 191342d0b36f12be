import { X509Certificate } from 'node:crypto';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const ANY_BEGIN = /-----BEGIN /g;

/** Far more than a chain, or the authorities of one company, need. */
const MAX_CERTIFICATES = 20;

/**
 * The certificates of a PEM text, in its order. Explanations between them are ignored.
 * @returns what is wrong with it, as a message for the user, if it is not usable
 */
export function certificatesOf(pem: string, max = MAX_CERTIFICATES): X509Certificate[] | string {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) return 'must be certificates in PEM form (-----BEGIN CERTIFICATE-----)';
  if (blocks.length !== pem.match(ANY_BEGIN)?.length) {
    return 'must hold certificates in PEM form and nothing else, such as a key';
  }
  if (blocks.length > max) {
    return `must hold at most ${max} certificates`;
  }
  const certificates: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return `is not valid: certificate ${index + 1} of ${blocks.length} cannot be parsed`;
    }
  }
  return certificates;
}
