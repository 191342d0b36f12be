import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ProductProcess } from '../support/product-process.js';
import { environment, World } from '../support/world.js';

let world: World;
let product: ProductProcess | undefined;

beforeAll(async () => {
  world = await World.create();
});
afterEach(() => product?.end());
afterAll(() => world.stop());

const accepts = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

async function reachedAt(env: NodeJS.ProcessEnv): Promise<boolean[]> {
  product = await ProductProcess.start(environment(world.database, { LOG_LEVEL: 'log', ...env }));
  const port = Number(new URL(product.baseUrl).port);
  return Promise.all(['127.0.0.1', '::1'].map((host) => accepts(host, port)));
}

/** A kernel may have no IPv6 at all. */
async function hasIPv6(): Promise<boolean> {
  const server = createServer();
  const listening = once(server.listen(0, '::1'), 'listening').then(
    () => true,
    () => false,
  );
  return listening.finally(() => server.close());
}

describe('the product listens', () => {
  it('on IPv4 and, where there is one, on IPv6', async () => {
    expect(await reachedAt({})).toEqual([true, await hasIPv6()]);
  });

  it('on the address of HOST only', async () => {
    expect(await reachedAt({ HOST: '127.0.0.1' })).toEqual([true, false]);
  });
});
