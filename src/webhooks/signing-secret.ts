/**
 * Signing secrets in the form of Standard Webhooks: `whsec_` and the base64 of 24 to 64 bytes.
 *
 * A caller may also give a plain text of 16 to 64 characters; its bytes are the key, and it is shown
 * in `whsec_` form, which every verification library accepts.
 */
const PREFIX = 'whsec_';
const MIN_KEY_BYTES = 24;
const MAX_KEY_BYTES = 64;
const MIN_PLAIN_LENGTH = 16;

/** One key of a webhook. While several are valid, a request carries one signature of each. */
export interface SigningSecret {
  /** The key's bytes in base64. */
  key: string;
  /** RFC 3339; from then on it is not used. Absent: the present key. */
  expiresAt?: string;
}

export const showSecret = (secret: SigningSecret): string => PREFIX + secret.key;

/** The key of a given secret, or what is wrong with it. */
export function parseSecret(
  given: string,
): { ok: true; secret: SigningSecret } | { ok: false; message: string } {
  if (given.startsWith(PREFIX)) return parseEncoded(given.slice(PREFIX.length));
  const length = Buffer.byteLength(given);
  if (!/^[\x21-\x7e]*$/.test(given) || length < MIN_PLAIN_LENGTH || length > MAX_KEY_BYTES) {
    return {
      ok: false,
      message:
        'must be whsec_ followed by the base64 of 24 to 64 bytes, or 16 to 64 printable characters',
    };
  }
  return { ok: true, secret: { key: Buffer.from(given).toString('base64') } };
}

function parseEncoded(
  encoded: string,
): { ok: true; secret: SigningSecret } | { ok: false; message: string } {
  const bytes = Buffer.from(encoded, 'base64');
  // Buffer ignores characters that are not base64: only text that encodes back to itself is valid.
  if (bytes.toString('base64').replace(/=+$/, '') !== encoded.replace(/=+$/, '')) {
    return { ok: false, message: 'is not base64 after whsec_' };
  }
  if (bytes.length < MIN_KEY_BYTES || bytes.length > MAX_KEY_BYTES) {
    return { ok: false, message: 'must stand for 24 to 64 bytes' };
  }
  return { ok: true, secret: { key: bytes.toString('base64') } };
}

/** The secrets that requests are signed with at this time. */
export const validSecrets = (secrets: readonly SigningSecret[], nowMs: number): SigningSecret[] =>
  secrets.filter(({ expiresAt }) => !expiresAt || Date.parse(expiresAt) > nowMs);
