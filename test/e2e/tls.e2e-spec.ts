import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TEST_CERT, TEST_KEY } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { ProductProcess } from '../support/product-process.js';
import { environment, World } from '../support/world.js';

const bodies: string[] = [];
const connections = new Set<TLSSocket>();
const server = createServer({ key: TEST_KEY, cert: TEST_CERT }, (request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (part: string) => (body += part));
  request.on('end', () => {
    bodies.push(body);
    response.end('received');
  });
}).on('secureConnection', (socket) => connections.add(socket));

let world: World;
let directory: string;
let product: ProductProcess;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tidings-tls-'));
  const authority = join(directory, 'authority.pem');
  await writeFile(authority, TEST_CERT);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  world = await World.create();
  product = await ProductProcess.start(
    environment(world.database, {
      NODE_EXTRA_CA_CERTS: authority,
      OUTBOUND_ALLOW_HTTP: 'false',
      LOG_LEVEL: 'log',
    }),
  );
});

afterAll(async () => {
  await product?.end();
  await world?.stop();
  server.close();
  server.closeAllConnections();
  await rm(directory, { recursive: true });
});

describe('a webhook behind TLS', () => {
  it('gets its events, large and small, over one connection that is kept', async () => {
    const { port } = server.address() as AddressInfo;
    await product.api.webhook(`https://localhost:${port}/hook`, ['tls.*']);
    const data = ['small', 'x'.repeat(200_000), 'small again'];
    for (const [index, text] of data.entries()) {
      await product.api.publish({ type: 'tls.sent', data: { text } });
      await eventually(() => expect(bodies).toHaveLength(index + 1));
    }
    expect(bodies.map((body) => JSON.parse(body).data.text)).toEqual(data);
    expect([...connections].map((socket) => socket.getProtocol())).toEqual(['TLSv1.3']);
  });
});
