/** The request that publishes one event to the product; the load generator overwrites its digits. */
import * as tidings from '../adapters/tidings.mjs';
import { stampedData } from '../stamp.mjs';

/** Its last two digits are the event's group; clients subscribe to all groups. */
const TYPE = 'bench.live.00';

/**
 * @param {string} token
 * @param {number} dataBytes
 */
export function tidingsPublication(token, dataBytes) {
  const access = { baseUrl: '', env: { TIDINGS_TOKEN: token }, state: undefined };
  const event = { type: TYPE, data: stampedData(dataBytes) };
  return { method: 'POST', ...tidings.publish(access, event), type: TYPE, events: 1 };
}
