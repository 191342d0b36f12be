/**
 * Svix (https://github.com/svix/svix-webhooks), the server that one runs oneself.
 *
 * Written from its public API reference and its own JavaScript client; it could not be run where
 * this was written, so try it with `--quick` first. Credentials: `SVIX_TOKEN`, as
 * `svix-server jwt generate` prints it. The server must be allowed to deliver to the receiver:
 * `SVIX_WHITELIST_SUBNETS='["127.0.0.0/8"]'`.
 *
 * @typedef {import('../adapter.mjs').Access} Access
 */
import { callJson } from '../adapter.mjs';

export const name = 'svix';

export const signedWith = 'svix-';

/** Application of this run: its endpoints hear nothing of another. */
const APPLICATION = `bench-${Date.now()}`;

/** @param {Access} access */
const headersOf = ({ env }) => ({ authorization: `Bearer ${env['SVIX_TOKEN'] ?? ''}` });

/**
 * An endpoint may only name event types that exist. They outlive the run: 409 says that they do.
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
  // A server that does not know the member would send every event everywhere.
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
