import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NotificationListener } from '../../src/database/notification.listener.js';
import { NotificationsStore } from '../../src/database/notifications.store.js';
import { eventually } from '../support/eventually.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let proxy: TcpProxy;
let url: URL;

beforeEach(async () => {
  world = await World.create();
  const { host, port, user, password, database } = world.database.connection;
  proxy = await TcpProxy.to(
    host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { port },
  );
  url = new URL(`postgres://${user}@127.0.0.1:${proxy.port}/${database}`);
  url.password = password ?? '';
});
afterEach(async () => {
  await world.stop();
  await proxy.close();
});

const readiness = async ({ api }: RunningApp): Promise<number> =>
  (await api.request('GET', '//health/ready')).status;

describe.each([
  ['existing connections are', false],
  ['all connections are, also new ones,', true],
])('while %s silent', (_which, andNew) => {
  it('a node is not ready, recovers by itself, and loses nothing', async () => {
    const product = await world.start({ DATABASE_URL: url.href });
    const receiver = await world.receiver();
    await product.api.webhook(receiver.url(), ['trade.*']);
    const accepted = [(await product.api.publish({ type: 'trade.made' })).id];
    let notified = 0;
    product.app.get(NotificationListener).on('operations', () => notified++);
    expect(await readiness(product)).toBe(200);

    proxy.silence({ andNew });
    const publishing = [1, 2, 3].map(() =>
      product.api.request('POST', '/events', { type: 'trade.made', data: {} }),
    );
    expect(await readiness(product)).toBe(503);
    for (const { status, body } of await Promise.all(publishing)) {
      expect([202, 503]).toContain(status);
      if (status === 202) accepted.push(body.id);
    }
    proxy.speak();

    await eventually(async () => expect(await readiness(product)).toBe(200));
    await eventually(async () => {
      const { status, body } = await product.api.request('POST', '/events', {
        type: 'trade.made',
        data: {},
      });
      expect(status).toBe(202);
      accepted.push(body.id);
    });
    await eventually(async () => {
      await product.app.get(NotificationsStore).notify('operations');
      expect(notified).toBeGreaterThan(0);
    });
    await eventually(() => {
      const received = receiver.requests.map(({ json }) => json.id);
      expect(accepted.filter((id) => !received.includes(id))).toEqual([]);
    });
  });
});

describe('a start', () => {
  it('waits for a database that is silent, and one that cuts connections', async () => {
    proxy.silence({ andNew: true });
    const starting = world.start({ DATABASE_URL: url.href });
    for (let cuts = 0; cuts < 5; cuts++) {
      const hold = proxy.hold({ marker: 'SELECT', what: 'request' });
      if (cuts > 0) await hold.reached;
      proxy.cut();
      proxy.speak();
      hold.release();
    }
    const product = await starting;
    expect(await readiness(product)).toBe(200);
  });

  it('ends with what to check when the database stays away, and names no password', async () => {
    await proxy.close();
    url.password = 'very-secret';
    const failed = await world
      .start({ DATABASE_URL: url.href }, { timings: { databaseStartMs: 200 } })
      .catch((error: unknown) => error);
    expect(String(failed)).toMatch(/PostgreSQL has not become available within .*DATABASE_URL/s);
    expect(String(failed)).not.toContain('very-secret');
    proxy = await TcpProxy.to({ port: 1 });
  });
});
