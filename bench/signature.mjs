/** Standard Webhooks signatures, computed without the product's code, so that they can check it. */
import { createHmac, createSecretKey } from 'node:crypto';

/** The secret of every webhook of the benchmark: public, and used for nothing else. */
export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'tidings-benchmark').toString('base64')}`;

const KEY = createSecretKey(WEBHOOK_SECRET.slice('whsec_'.length), 'base64');

/**
 * The value of the `webhook-signature` header.
 * @param {string} id
 * @param {string | number} timestamp Unix seconds
 * @param {Buffer} body
 */
export function signatureOf(id, timestamp, body) {
  return `v1,${createHmac('sha256', KEY).update(`${id}.${timestamp}.`).update(body).digest('base64')}`;
}
