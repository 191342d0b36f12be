import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { gracefulClose } from './graceful-close.js';

const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
/** Longer than any test may take. */
const NEVER_MS = 600_000;

const servers: Server[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.closeAllConnections()));

async function serverWith(answer: RequestListener, graceMs = NEVER_MS) {
  const server = createServer({ keepAliveTimeout: NEVER_MS }, answer);
  servers.push(server);
  const close = gracefulClose(server, graceMs);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    connect: async (): Promise<Socket> => {
      const accepted = once(server, 'connection');
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      await Promise.all([once(socket, 'connect'), accepted]);
      return socket;
    },
    /** The next one, to be answered. */
    request: async (): Promise<ServerResponse> => (await once(server, 'request'))[1],
    close: (): Promise<unknown> => {
      close();
      const closed = once(server, 'close');
      server.close();
      return closed;
    },
  };
}

describe(gracefulClose.name, () => {
  it('answers a request that is in flight, and then ends its connection', async () => {
    const server = await serverWith(() => undefined);
    const client = await server.connect();
    const arrived = server.request();
    client.write(REQUEST);
    const response = await arrived;
    const closed = server.close();
    let text = '';
    client.setEncoding('utf8').on('data', (part: string) => (text += part));
    response.end('done');
    await once(client, 'close');
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*done/);
    await closed;
  });

  it('answers a request that is still arriving', async () => {
    const server = await serverWith((request, response) => {
      request.resume().on('end', () => response.end('whole'));
    });
    const client = await server.connect();
    const seen = once(client, 'data');
    client.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n');
    await seen;
    const closed = server.close();
    const answer = once(client, 'data');
    client.write('body');
    expect(String((await answer)[0])).toContain('200 OK');
    await closed;
  });

  it('closes connections without a request at once', async () => {
    const server = await serverWith((_, response) => response.end());
    const [silent, idle] = [await server.connect(), await server.connect()];
    const answered = once(idle, 'data');
    idle.write(REQUEST);
    await answered;
    const gone = [once(silent, 'close'), once(idle, 'close')];
    await server.close();
    await Promise.all(gone);
  });

  it('cuts off a request that takes longer than the grace', async () => {
    const server = await serverWith(() => undefined, 50);
    const client = await server.connect();
    const arrived = server.request();
    client.on('error', () => undefined).write(REQUEST);
    await arrived;
    const gone = once(client, 'close');
    await server.close();
    await gone;
  });

  it('does nothing for a server that never listened', () => {
    const server = createServer();
    expect(gracefulClose(server)).not.toThrow();
  });
});
