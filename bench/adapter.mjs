/**
 * The interface between the benchmark and a server. An adapter says how an endpoint is created and
 * how an event is published; everything else is the same for all servers, the product included.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { request } from 'undici';

/**
 * @typedef {object} Access what an adapter is given
 * @property {string} baseUrl without a slash at the end
 * @property {Record<string, string | undefined>} env has the credentials
 * @property {any} state what its `setUp` has returned
 */

/**
 * @typedef {object} Endpoint
 * @property {string} url
 * @property {string[]} events the types that it subscribes to
 * @property {number} number from 0
 * @property {string} secret a Standard Webhooks secret, for servers that accept one
 * @property {object} settings that one scenario gives the product; other servers ignore them
 */

/**
 * @typedef {object} Publication one request; all of them are the same but for stamp and type
 * @property {string} [method] POST
 * @property {string} path below the base URL
 * @property {Record<string, string>} [headers] beside `host` and `content-length`
 * @property {string} body contains `data` and the type as they were given, once or several times
 */

/**
 * @typedef {object} Adapter
 * @property {string} name
 * @property {(access: Access, types: string[]) => Promise<any>} [setUp] called first, with the types of all events
 * @property {(access: Access, endpoint: Endpoint) => Promise<unknown>} createEndpoint its id
 * @property {(access: Access, id: any) => Promise<unknown>} [removeEndpoint]
 * @property {(access: Access, event: { type: string; data: object }) => Publication} publish
 * @property {(access: Access, events: { type: string; data: object }[]) => Publication} [publishBatch]
 *   several in one request, in their order
 * @property {(access: Access) => Promise<unknown>} [tearDown]
 * @property {string} [signedWith] the prefix of its Standard Webhooks headers,
 *   `webhook-` or `svix-`; absent: signatures are not verified
 * @property {(body: Buffer) => Buffer} [deliveredBody] makes the stamp readable where the bytes that
 *   arrive are encoded. It runs in the receiver's process, for each delivery
 */

/**
 * @param {string} path
 * @returns {Promise<{ adapter: Adapter; url: string }>}
 * @throws {Error} when the file is not an adapter
 */
export async function loadAdapter(path) {
  const url = pathToFileURL(resolve(path)).href;
  /** @type {Adapter} */
  const adapter = await import(url);
  const wanted = /** @type {const} */ ({
    name: 'string',
    createEndpoint: 'function',
    publish: 'function',
  });
  for (const [key, type] of Object.entries(wanted)) {
    if (typeof (/** @type {any} */ (adapter)[key]) !== type) {
      throw new TypeError(`${path} is not an adapter: it exports no ${type} \`${key}\``);
    }
  }
  return { adapter, url };
}

/**
 * One call of a JSON API, for adapters.
 * @param {import('undici').Dispatcher.HttpMethod} method
 * @param {string} url
 * @param {{ headers?: Record<string, string>; body?: object; accepts?: number[] }} [options]
 *   `accepts`: statuses beside 2xx that count as success
 * @returns {Promise<any>} the answer's JSON; undefined if it has no body
 * @throws {Error} with the answer, when it is not a success
 */
export async function callJson(method, url, { headers = {}, body, accepts = [] } = {}) {
  const answer = await request(url, {
    method,
    headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body && JSON.stringify(body),
  });
  const text = await answer.body.text();
  const isGood = answer.statusCode < 300 || accepts.includes(answer.statusCode);
  if (!isGood) throw new Error(`${method} ${url} was answered ${answer.statusCode}: ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}
