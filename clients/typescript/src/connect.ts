import { TidingsClient } from './client.js';
import type { ClientOptions } from './client-options.js';
import { PLATFORM } from './runtime.js';
import type { Transport } from './transport.js';
import { webSocket } from './web-socket-transport.js';

export type ConnectOptions = Omit<ClientOptions, 'transport'> & Partial<ClientOptions>;

/** A program that only publishes needs no WebSocket, which Node 20 does not have. */
const whenNeeded: Transport = { open: (request) => webSocket().open(request) };

/**
 * Creates a client that connects at once (unless `autoConnect` is false), and reconnects after every loss of its connection until it
 * is closed.
 *
 * @typeParam Events - event types and what their `data` is, e.g. `{ 'trade.submitted': Trade }`
 * @throws TypeError if an option is invalid
 */
export function connect<Events extends object = Record<string, unknown>>(
  options: ConnectOptions,
): TidingsClient<Events> {
  const { url, after, windowSize = 1, autoConnect = true } = options;
  if (!/^(https?|wss?):$/.test(new URL(url).protocol)) {
    throw new TypeError('url must begin with https://, http://, wss:// or ws://');
  }
  if (after !== undefined && !/^(evt|pos)_\w+$/.test(after)) {
    throw new TypeError(
      'after must be the id of an event, like evt_01m80j6fpwejwb1y3r5kzg0jcr, or a position of the server',
    );
  }
  if (!Number.isInteger(windowSize) || windowSize < 1) {
    throw new TypeError('windowSize must be a whole number from 1 on');
  }
  if (options.apiKey !== undefined && (options.token ?? options.getToken) !== undefined) {
    throw new TypeError('give either apiKey, or token or getToken');
  }
  if (options.replace === true && options.clientId === undefined) {
    throw new TypeError('replace needs a clientId');
  }
  const transport = options.transport ?? (autoConnect ? webSocket() : whenNeeded);
  return new TidingsClient<Events>({ ...options, transport }, PLATFORM);
}
