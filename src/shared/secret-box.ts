import { createCipheriv, createDecipheriv } from 'node:crypto';

/**
 * Secrets at rest: AES-256-GCM with a fresh 96-bit nonce per value. The context (the id of the row)
 * is authenticated with it, so a sealed value that is moved to another row does not open.
 */
const VERSION = 'v1';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Seals a text. @param nonce 12 random bytes, never used twice with the same key */
export function seal(key: Buffer, context: string, text: string, nonce: Buffer): string {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(`${VERSION}:${context}`));
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return `${VERSION}.${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64')}`;
}

/** Opens a sealed text. @throws if the key or the context is another one, or a bit was changed */
export function open(key: Buffer, context: string, value: string): string {
  const [version, data = ''] = value.split('.');
  if (version !== VERSION) throw new Error(`sealed with an unknown version: ${version}`);
  const bytes = Buffer.from(data, 'base64');
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAAD(Buffer.from(`${VERSION}:${context}`));
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const text = decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES));
  return Buffer.concat([text, decipher.final()]).toString('utf8');
}
