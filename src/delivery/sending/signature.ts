import { createHmac, type KeyObject } from 'node:crypto';

/**
 * Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`, base64, one `v1,` token per
 * valid key, separated by spaces. Several tokens make secret rotation seamless: a receiver accepts
 * any that matches.
 */
export function sign(
  id: string,
  timestamp: number,
  body: Buffer,
  keys: readonly KeyObject[],
): string {
  let header = '';
  for (const key of keys) {
    const digest = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
    header += `${header === '' ? '' : ' '}v1,${digest.digest('base64')}`;
  }
  return header;
}
