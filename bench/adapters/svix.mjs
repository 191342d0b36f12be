/**
 * Svix (https://github.com/svix/svix-webhooks), self-hosted.
 *
 * Written from its public API reference and its own JavaScript client; it has not been run
 * yet, so try it with `--quick` first. Credentials: `SVIX_TOKEN`, as
 * `svix-server jwt generate` prints it. The server must be allowed to deliver to the receiver:
 * `SVIX_WHITELIST_SUBNETS='["127.0.0.0/8"]'`.
 *
 * @typedef {import('../adapter.mjs').Access} Access
 */
import { callJson } from '../adapter.mjs';

export const name = 'svix';

export const signedWith = 'svix-';

/** Application of this run: its endpoints receive no events of other applications. */
const APPLICATION = `bench-${Date.now()}`;

/** @param {Access} access */
const headersOf = ({ env }) => ({ authorization: `Bearer ${env['SVIX_TOKEN'] ?? ''}` });

/**
 * An endpoint may only name event types that exist. They stay after a run, so 409 (exists) is fine.
 * @type {NonNullable<import('../adapter.mjs').Adapter['setUp']>}
 */
export async function setUp(access, types) {
  const headers = headersOf(access);
  const application = { name: APPLICATION, uid: APPLICATION };
  await callJson('POST', `${access.baseUrl}/api/v1/app`, { headers, body: application });
  for (const type of types) {
    const body = { name: type, description: 'benchmark' };
    await callJson('POST', `${access.baseUrl}/api/v1/event-type`, {
      headers,
      body,
      accepts: [409],
    });
  }
}

/** @type {import('../adapter.mjs').Adapter['createEndpoint']} */
export async function createEndpoint(access, { url, events, secret }) {
  const path = `/api/v1/app/${APPLICATION}/endpoint`;
  const endpoint = await callJson('POST', `${access.baseUrl}${path}`, {
    headers: headersOf(access),
    body: { url, filterTypes: events, secret },
  });
  // Without this filter the server sends every event to every endpoint.
  if (!endpoint.filterTypes)
    throw new Error('This version of Svix has another name for filterTypes');
  return endpoint.id;
}

/** @type {import('../adapter.mjs').Adapter['publish']} */
export const publish = (access, { type, data }) => ({
  path: `/api/v1/app/${APPLICATION}/msg`,
  headers: { ...headersOf(access), 'content-type': 'application/json' },
  body: JSON.stringify({ eventType: type, payload: data }),
});

/** @type {NonNullable<import('../adapter.mjs').Adapter['tearDown']>} */
export const tearDown = (access) =>
  callJson('DELETE', `${access.baseUrl}/api/v1/app/${APPLICATION}`, { headers: headersOf(access) });
