/**
 * Tidings itself. The benchmark drives the product that it starts through this file too.
 *
 * Credentials: `TIDINGS_TOKEN` (a JWT with the role `publisher`) or `TIDINGS_API_KEY`. The server
 * must be allowed to deliver to the receiver: `OUTBOUND_ALLOW_HTTP=true`,
 * `OUTBOUND_ALLOW_CIDRS=127.0.0.0/8`.
 *
 * @typedef {import('../adapter.mjs').Access} Access
 */
import { callJson } from '../adapter.mjs';

export const name = 'tidings';

export const signedWith = 'webhook-';

/**
 * @param {Access} access
 * @returns {Record<string, string>}
 */
const authorization = ({ env }) =>
  env['TIDINGS_API_KEY'] === undefined
    ? { authorization: `Bearer ${env['TIDINGS_TOKEN'] ?? ''}` }
    : { 'x-api-key': env['TIDINGS_API_KEY'] };

/** @type {import('../adapter.mjs').Adapter['createEndpoint']} */
export async function createEndpoint(access, { url, events, secret, settings }) {
  const { id } = await callJson('POST', `${access.baseUrl}/api/v1/webhooks`, {
    headers: authorization(access),
    body: { url, events, secret, ...settings },
  });
  return id;
}

/** @type {NonNullable<import('../adapter.mjs').Adapter['removeEndpoint']>} */
export const removeEndpoint = (access, id) =>
  callJson('DELETE', `${access.baseUrl}/api/v1/webhooks/${String(id)}`, {
    headers: authorization(access),
  });

/** @type {import('../adapter.mjs').Adapter['publish']} */
export const publish = (access, event) => ({
  path: '/api/v1/events',
  headers: { ...authorization(access), 'content-type': 'application/json' },
  body: JSON.stringify(event),
});

/** @type {NonNullable<import('../adapter.mjs').Adapter['publishBatch']>} */
export const publishBatch = (access, events) => ({
  path: '/api/v1/events/batch',
  headers: { ...authorization(access), 'content-type': 'application/json' },
  body: JSON.stringify({ events }),
});
