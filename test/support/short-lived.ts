import { onTestFinished } from 'vitest';
import { bearer } from './auth-app.js';
import { EventStreamReader } from './event-stream-reader.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from './realtime-app.js';
import { SocketClient } from './socket-client.js';
import { createDatabase } from './stores.js';
import { authorized, WebSocketClient } from './websocket-client.js';
import { type RunningApp, World } from './world.js';

/** Closes it after the test, in the reverse order of opening. */
export function untilTestEnds<T extends { close(): unknown }>(thing: T): T {
  onTestFinished(async () => void (await thing.close()));
  return thing;
}

type Environment = Record<string, string>;

/** Starts one application per environment, all on one database. */
export async function startApps<const Environments extends readonly Environment[]>(
  ...environments: Environments
): Promise<{ -readonly [N in keyof Environments]: RealtimeApp }> {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const apps: RealtimeApp[] = [];
  for (const env of environments) {
    apps.push(untilTestEnds(await startRealtimeApp(database.url, env)));
  }
  return apps as { -readonly [N in keyof Environments]: RealtimeApp };
}

/** Starts a single application. */
export async function startApp(env: Environment = {}): Promise<RealtimeApp> {
  const [app] = await startApps(env);
  return app;
}

type Address = Pick<RealtimeApp, 'url'>;

/** Connects a Socket.IO client. @param claims of its token, e.g. `{ roles: ['admin'] }` */
export async function socketIo(
  { url }: Address,
  owner: string,
  claims: object = {},
): Promise<SocketClient> {
  const auth = { token: tokenOf(owner, claims) };
  return untilTestEnds(await SocketClient.connect(url, { auth }));
}

/** Connects a plain WebSocket client. @param path may name topics */
export async function webSocket(
  { url }: Address,
  owner: string,
  claims: object = {},
  path = '/ws',
): Promise<WebSocketClient> {
  return untilTestEnds(await WebSocketClient.connect(url, path, authorized(owner, claims)));
}

/** Connects to the event stream. @param query with its question mark */
export async function eventStream(
  { url }: Address,
  owner: string,
  query = '',
): Promise<EventStreamReader> {
  const address = `${url}/api/v1/events/stream${query}`;
  return untilTestEnds(await EventStreamReader.open(address, bearer(tokenOf(owner))));
}

/** Starts one more application in this world, until the test ends. */
export async function startUntilTestEnds(world: World): Promise<RunningApp> {
  const app = await world.start();
  onTestFinished(() => app.app.close());
  return app;
}

/** Starts two applications on a database of their own; the first one takes the existing work. */
export async function startTwoUntilTestEnds(): Promise<[RunningApp, RunningApp]> {
  const world = await World.create();
  onTestFinished(() => world.stop());
  return [await world.start(), await world.start()];
}
