import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { bearer } from '../support/auth-app.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { PostgresServer } from '../support/postgres-server.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { WebSocketClient } from '../support/websocket-client.js';

let postgres: PostgresServer;
let proxy: TcpProxy;
let server: RealtimeApp;
const clients: { close(): void }[] = [];

beforeAll(async () => {
  postgres = await PostgresServer.create();
  proxy = await TcpProxy.to({ path: postgres.socket });
  server = await startRealtimeApp(`postgres://postgres@127.0.0.1:${proxy.port}/postgres`);
  await postgres.stop('immediate');
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await server?.close();
  await proxy?.close();
  await postgres?.remove();
});

const streamAfter = async (id: string): Promise<EventStreamReader> => {
  const headers = { ...bearer(tokenOf('acme')), 'last-event-id': id };
  const reader = await EventStreamReader.open(`${server.url}/api/v1/events/stream`, headers);
  clients.push(reader);
  return reader;
};

describe('while PostgreSQL is away', () => {
  it('an event stream that cannot be sent what it missed ends, to be opened again', async () => {
    const reader = await streamAfter(newId('evt'));
    const { data } = await reader.next('error');
    expect(data).toMatchObject({ code: 'history_unavailable', reconnect: true });
    await reader.closed;
  });

  it('a subscription that cannot be sent what it missed is refused for now', async () => {
    const client = await WebSocketClient.connect(server.url);
    clients.push(client);
    const missed = { topics: ['trade.*'], after: newId('evt') };
    expect(await client.request('subscribe', missed)).toMatchObject({
      ok: false,
      error: { code: 'temporarily_unavailable' },
    });
    const answer = await client.request('subscribe', { topics: ['price.*'] });
    expect(answer).toMatchObject({ ok: true, topics: ['price.*'] });
    const id = server.publish({ type: 'price.changed' });
    expect(await client.eventsUntil(id)).toEqual([id]);
  });
});
