import type { RunningApp } from './world.js';
import { tokenFor } from './tokens.js';
import { WebSocketClient } from './websocket-client.js';

/** Connects to the product for this owner and stays connected. @returns the id of the connection */
export async function liveConnection({ baseUrl }: RunningApp, owner: string): Promise<string> {
  const headers = { authorization: `Bearer ${tokenFor(owner)}` };
  const client = await WebSocketClient.connect(baseUrl, '/ws', { headers });
  return String((await client.next('connected'))['connectionId']);
}
