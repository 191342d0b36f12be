/**
 * Convoy (https://github.com/frain-dev/convoy), self-hosted.
 *
 * Written from its public API reference; it has not been run yet, so try it with
 * `--quick` first. The base URL is without `/api/v1`, for example http://localhost:5005.
 * Credentials: `CONVOY_API_KEY` and `CONVOY_PROJECT_ID`, of an outgoing project that allows plain
 * http. Convoy limits publishers (`CONVOY_API_RATE_LIMIT`, `CONVOY_INSTANCE_INGEST_RATE`) and addresses
 * (`CONVOY_DISPATCHER_ALLOW_LIST`, `CONVOY_DISPATCHER_BLOCK_LIST`): raise these limits, or the run
 * measures them. An event goes to all endpoints of one owner whose subscriptions name
 * its type. Its signatures follow a scheme of its own, so they are not verified.
 *
 * @typedef {import('../adapter.mjs').Access} Access
 */
import { callJson } from '../adapter.mjs';

export const name = 'convoy';

const OWNER = `bench-${Date.now()}`;

/** @param {Access} access */
const headersOf = ({ env }) => ({ authorization: `Bearer ${env['CONVOY_API_KEY'] ?? ''}` });

/** @param {Access} access */
const projectPath = ({ env }) => `/api/v1/projects/${env['CONVOY_PROJECT_ID'] ?? ''}`;

/**
 * @param {Access} access
 * @param {string} path
 * @param {object} body
 */
async function create(access, path, body) {
  const url = `${access.baseUrl}${projectPath(access)}${path}`;
  const { data } = await callJson('POST', url, { headers: headersOf(access), body });
  return data;
}

/** @type {import('../adapter.mjs').Adapter['createEndpoint']} */
export async function createEndpoint(access, { url, events, number }) {
  const label = `${OWNER}-${number}`;
  const endpoint = await create(access, '/endpoints', { url, name: label, owner_id: OWNER });
  await create(access, '/subscriptions', {
    name: label,
    endpoint_id: endpoint.uid,
    filter_config: { event_types: events },
  });
  return endpoint.uid;
}

/** @type {NonNullable<import('../adapter.mjs').Adapter['removeEndpoint']>} */
export const removeEndpoint = (access, id) =>
  callJson('DELETE', `${access.baseUrl}${projectPath(access)}/endpoints/${String(id)}`, {
    headers: headersOf(access),
  });

/** @type {import('../adapter.mjs').Adapter['publish']} */
export const publish = (access, { type, data }) => ({
  path: `${projectPath(access)}/events/fanout`,
  headers: { ...headersOf(access), 'content-type': 'application/json' },
  body: JSON.stringify({ owner_id: OWNER, event_type: type, data }),
});
