/**
 * Outpost (https://github.com/hookdeck/outpost), self-hosted.
 *
 * Written from its public documentation; it has not been run yet, so try it with
 * `--quick` first. The base URL is without `/api/v1`, for example http://localhost:3333. Credentials:
 * `OUTPOST_API_KEY`, the server's `API_KEY`. Leave the server's `TOPICS` unset, or name those of the
 * benchmark; `MAX_DESTINATIONS_PER_TENANT` has to be 100 or more. With
 * `DESTINATIONS_WEBHOOK_MODE=standard` it signs as Standard Webhooks do, but with the secrets of
 * its own, so signatures are not verified.
 *
 * @typedef {import('../adapter.mjs').Access} Access
 */
import { callJson } from '../adapter.mjs';

export const name = 'outpost';

const TENANT = `bench-${Date.now()}`;

/** @param {Access} access */
const headersOf = ({ env }) => ({ authorization: `Bearer ${env['OUTPOST_API_KEY'] ?? ''}` });

/** @param {Access} access */
const tenantUrl = ({ baseUrl }) => `${baseUrl}/api/v1/tenants/${TENANT}`;

/** @type {NonNullable<import('../adapter.mjs').Adapter['setUp']>} */
export const setUp = (access) => callJson('PUT', tenantUrl(access), { headers: headersOf(access) });

/** @type {import('../adapter.mjs').Adapter['createEndpoint']} */
export async function createEndpoint(access, { url, events }) {
  const { id } = await callJson('POST', `${tenantUrl(access)}/destinations`, {
    headers: headersOf(access),
    body: { type: 'webhook', topics: events, config: { url } },
  });
  return id;
}

/** @type {import('../adapter.mjs').Adapter['publish']} */
export const publish = (access, { type, data }) => ({
  path: '/api/v1/publish',
  headers: { ...headersOf(access), 'content-type': 'application/json' },
  body: JSON.stringify({ tenant_id: TENANT, topic: type, eligible_for_retry: true, data }),
});

/** @type {NonNullable<import('../adapter.mjs').Adapter['tearDown']>} */
export const tearDown = (access) =>
  callJson('DELETE', tenantUrl(access), { headers: headersOf(access) });
