import { setImmediate as nextTurn } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from '../../../test/support/eventually.js';
import { connect, socketIo, type Transport, webSocket } from '../src/tidings-client.js';
import { BadLine } from './bad-line.js';
import { ProtocolServer } from './protocol-server.js';

let server: ProtocolServer;
let line: BadLine;

beforeAll(async () => {
  server = await ProtocolServer.start();
  line = await BadLine.to(server.url);
});

afterAll(async () => {
  await line?.close();
  await server?.close();
});

const TRANSPORTS: [name: string, transport: () => Transport][] = [
  ['Socket.IO', () => socketIo(io)],
  ['a plain WebSocket', () => webSocket({ WebSocket })],
];

describe.each(TRANSPORTS)('over %s, whenever the line is cut', (_name, transport) => {
  it.each([
    ['handlers that are done at once', () => undefined],
    ['handlers that take time', () => nextTurn()],
  ])('each event comes once and in order, with %s', async (_handlers, work) => {
    const first = server.publish();
    const from = server.log.length;
    const heard: string[] = [];
    let cuts = 0;
    const client = connect({
      url: line.url,
      transport: transport(),
      after: first,
      backoff: { baseMs: 5, maxMs: 20 },
      onError: () => cuts++,
    });
    client.subscribe(['*'], ({ id }) => {
      heard.push(id);
      // In the middle of what the server is sending, whatever that is.
      if (heard.length % 40 === 0) line.cut();
      return work();
    });
    for (let round = 0; round < 40; round++) {
      for (let event = 0; event < 10; event++) server.publish();
      const before = Math.min(heard.length, round * 10);
      await eventually(() => expect(heard.length).toBeGreaterThan(before));
    }
    await eventually(() => expect(heard.length).toBeGreaterThanOrEqual(400));
    const last = server.publish();
    await eventually(() => expect(client.lastEventId).toBe(last));
    expect(heard).toEqual(server.log.slice(from).map(({ id }) => id));
    expect(cuts).toBeGreaterThan(2);
    client.close();
  });
});
