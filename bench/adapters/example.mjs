/**
 * A template for adapters, for a minimal server: `POST /endpoints` takes `{url,
 * events}`, `POST /publish` takes `{type, data}` and sends `{type, payload}` to every endpoint that
 * names the type, `payload` being the data as base64. It is what the test of the comparison drives.
 */
import { callJson } from '../adapter.mjs';

export const name = 'example';

/** @type {import('../adapter.mjs').Adapter['createEndpoint']} */
export const createEndpoint = ({ baseUrl }, { url, events }) =>
  callJson('POST', `${baseUrl}/endpoints`, { body: { url, events } });

/** @type {import('../adapter.mjs').Adapter['publish']} */
export const publish = (_access, event) => ({
  path: '/publish',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(event),
});

/**
 * Only needed because the stamp cannot be read in base64.
 * @param {Buffer} body
 */
export const deliveredBody = (body) =>
  Buffer.from(JSON.parse(body.toString('utf8')).payload, 'base64');

/** @type {NonNullable<import('../adapter.mjs').Adapter['tearDown']>} */
export const tearDown = ({ baseUrl }) => callJson('DELETE', `${baseUrl}/endpoints`);
