import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let app: RunningApp;

beforeAll(async () => {
  world = await World.create();
  app = await world.start();
});
afterAll(() => world?.stop());

it('a broadcast of the operator goes to all but the connection that it excepts', async () => {
  const ownerId = randomUUID();
  const connect = () => SocketClient.connect(app.baseUrl, { auth: { token: tokenFor(ownerId) } });
  const [actor, watcher] = [await connect(), await connect()];
  const { connectionId } = await actor.next('connected');
  const sent = { message: 'moved', ownerId, except: connectionId };
  const answer = await app.api.post('/admin/broadcast', sent, 200);
  expect(answer).toEqual({ delivered: 1, complete: true });
  await app.api.post('/admin/broadcast', { message: 'later', ownerId }, 200);
  expect(await watcher.next('message')).toMatchObject({ message: 'moved' });
  expect(await actor.next('message')).toMatchObject({ message: 'later' });
  const both = { message: 1, connectionId, except: connectionId };
  const refused = await app.api.post('/admin/broadcast', both, 422);
  expect(refused).toMatchObject({ errors: [{ field: 'connectionId' }] });
  for (const client of [actor, watcher]) client.close();
});
