import { setImmediate as nextTurn } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from '../../../test/support/eventually.js';
import { connect, socketIo, type Transport, webSocket } from '../src/tidings-client.js';
import { BreakableProxy } from './breakable-proxy.js';
import { ProtocolServer } from './protocol-server.js';

let server: ProtocolServer;
let proxy: BreakableProxy;

beforeAll(async () => {
  server = await ProtocolServer.start();
  proxy = await BreakableProxy.to(server.url);
});

afterAll(async () => {
  await proxy?.close();
  await server?.close();
});

const TRANSPORTS: [name: string, transport: () => Transport][] = [
  ['Socket.IO', () => socketIo(io)],
  ['a plain WebSocket', () => webSocket({ WebSocket })],
];

describe.each(TRANSPORTS)('over %s, whenever the connection is cut', (_name, transport) => {
  it.each([
    ['synchronous handlers', () => undefined],
    ['asynchronous handlers', () => nextTurn()],
  ])('each event is handled once and in order, with %s', async (_handlers, work) => {
    const first = server.publish();
    const from = server.log.length;
    const received: string[] = [];
    let cuts = 0;
    const client = connect({
      url: proxy.url,
      transport: transport(),
      after: first,
      backoff: { baseMs: 5, maxMs: 20 },
      onError: () => cuts++,
    });
    client.subscribe(['*'], ({ id }) => {
      received.push(id);
      // In the middle of the server's frames.
      if (received.length % 40 === 0) proxy.cut();
      return work();
    });
    for (let round = 0; round < 40; round++) {
      for (let event = 0; event < 10; event++) server.publish();
      const before = Math.min(received.length, round * 10);
      await eventually(() => expect(received.length).toBeGreaterThan(before));
    }
    await eventually(() => expect(received.length).toBeGreaterThanOrEqual(400));
    const last = server.publish();
    await eventually(() => expect(client.lastEventId).toBe(last));
    expect(received).toEqual(server.log.slice(from).map(({ id }) => id));
    expect(cuts).toBeGreaterThan(2);
    client.close();
  });
});
