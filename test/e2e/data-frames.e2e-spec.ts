import { beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { bearer } from '../support/auth-app.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { untilTestEnds } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase } from '../support/stores.js';
import { authorized, WebSocketClient, type WebSocketOptions } from '../support/websocket-client.js';

let server: RealtimeApp;

beforeAll(async () => {
  const database = await createDatabase();
  server = await startRealtimeApp(database.url);
  return async () => {
    await server.close();
    await database.drop();
  };
});

const plain = async (path: string, options: WebSocketOptions) =>
  untilTestEnds(await WebSocketClient.connect(server.url, path, options));

/** Publishes an event whose bytes no parser and serializer would reproduce. */
function publish(owner: string | null, type: string): { id: string; body: string } {
  const id = newId('evt');
  const body =
    `{"id":"${id}","type":"${type}","timestamp":"2026-01-31T12:00:00.000Z","subject":"AAPL",` +
    '"source":"model","data":{"price": 1.50,"text":"\\u00fc ☃","big":1e400}}';
  server.publish({ id, ownerId: owner, type, subject: 'AAPL', body });
  return { id, body };
}

/** The texts of the frames, from now on. */
function texts(client: WebSocketClient): string[] {
  const frames: string[] = [];
  client.socket.on('message', (data: Buffer) => void frames.push(data.toString()));
  return frames;
}

describe('frames=data', () => {
  const WAYS: [string, string, (owner: string) => WebSocketOptions, string][] = [
    ['?frames=data', '/ws?frames=data', (owner) => authorized(owner), ''],
    [
      'the subprotocol',
      '/ws',
      (owner) => ({ ...authorized(owner), protocols: ['tidings.data'] }),
      'tidings.data',
    ],
    [
      'the subprotocol, before the token',
      '/ws',
      (owner) => ({ protocols: ['tidings.data', 'bearer', tokenOf(owner)] }),
      'tidings.data',
    ],
    [
      'the subprotocol, after the token',
      '/ws',
      (owner) => ({ protocols: ['bearer', tokenOf(owner), 'tidings.data'] }),
      'tidings.data',
    ],
  ];
  it.each(WAYS)(
    'by %s: events are their envelopes, byte for byte',
    async (_, path, options, protocol) => {
      const owner = newId('key');
      const client = await plain(path, options(owner));
      expect(client.socket.protocol).toBe(protocol);
      await client.request('subscribe', { topics: ['*'] });
      const frames = texts(client);
      const { body } = publish(owner, 'prediction_complete');
      await client.next('prediction_complete');
      expect(frames).toEqual([body]);
    },
  );

  it('names the owner for operators, and leaves other clients the envelope in event', async () => {
    const owner = newId('key');
    const all = await plain('/ws?frames=data', authorized('root', { roles: ['admin'] }));
    const usual = await plain('/ws', authorized(owner));
    for (const client of [all, usual]) await client.request('subscribe', { topics: ['a.*'] });
    const { id } = publish(owner, 'a.b');
    expect(await all.next('a.b')).toMatchObject({ id, ownerId: owner, subject: 'AAPL' });
    expect(await usual.next('event')).toMatchObject({ event: { id } });
  });

  it('has events of the name of a notice, which alone have an id; and resumes', async () => {
    const owner = newId('key');
    const client = await plain('/ws/error/AAPL?frames=data', authorized(owner));
    await client.next('ack');
    const { id } = publish(owner, 'error');
    expect(await client.next('error')).toMatchObject({ id, data: { price: 1.5 } });
    client.send('[]');
    const notice = await client.next('error');
    expect(notice).toMatchObject({ code: 'invalid_input' });
    expect(notice).not.toHaveProperty('id');
  });

  it('has a text of another client as a message: every frame is an object', async () => {
    const owner = newId('key');
    const client = await plain('/ws?frames=data', authorized(owner));
    const speaker = await plain('/ws', authorized(owner));
    await client.next('connected');
    speaker.send('a text');
    expect(await client.next('message')).toMatchObject({ kind: 'broadcast', message: 'a text' });
    client.send('another');
    expect(await speaker.nextText()).toBe('a text');
    expect(await speaker.nextText()).toBe('another');
  });

  it('over Socket.IO: events are emitted under their type, unless that means something else', async () => {
    const owner = newId('key');
    const auth = { token: tokenOf(owner), frames: 'data' };
    const client = untilTestEnds(await SocketClient.connect(server.url, { auth }));
    const { connectionId } = await client.next('connected');
    await client.subscribe('*');
    const { id } = publish(owner, 'prediction_complete');
    expect(await client.next('prediction_complete')).toMatchObject({ id, subject: 'AAPL' });
    for (const type of ['connect', 'disconnect', 'error', 'message', 'connected', 'newListener']) {
      const event = publish(owner, type);
      expect(await client.next('event')).toMatchObject({ id: event.id, type });
    }
    expect(await client.request('private', { to: connectionId, message: 1 })).toMatchObject({
      ok: true,
    });
    expect(await client.next('message')).toMatchObject({ kind: 'private', message: 1 });
  });

  it('over an event stream: the name is the type, unless that means something else', async () => {
    const owner = newId('key');
    const url = `${server.url}/api/v1/events/stream?frames=data`;
    const reader = untilTestEnds(await EventStreamReader.open(url, bearer(tokenOf(owner))));
    await reader.next('connected');
    const { id } = publish(owner, 'alert_triggered');
    expect(await reader.next('alert_triggered')).toMatchObject({ id, data: { id } });
    for (const type of ['open', 'error', 'message']) {
      const event = publish(owner, type);
      expect(await reader.next('event')).toMatchObject({ data: { id: event.id, type } });
    }
  });
});
