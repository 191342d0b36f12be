import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readDocument, routesOf } from '../support/documented-routes.js';
import { eventually } from '../support/eventually.js';
import { RawConnection } from '../support/raw-connection.js';
import { adminToken } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
const nodes = new Map<string, RunningApp>();

beforeAll(async () => {
  world = await World.create();
  for (const roles of ['api', 'worker', 'realtime', 'worker,realtime']) {
    nodes.set(roles, await world.start({ ROLES: roles }));
  }
});
afterAll(() => world?.stop());

/** The status of a request whose target is sent as it is written. */
async function statusOf(roles: string, method: string, target: string): Promise<number> {
  const connection = RawConnection.open(nodes.get(roles)!.baseUrl);
  onTestFinished(() => connection.close());
  await connection.send(
    `${method} ${target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${adminToken()}\r\n\r\n`,
  );
  await eventually(() => expect(connection.statuses, `${method} ${target}`).toHaveLength(1));
  connection.close();
  return connection.statuses[0]!;
}

/** Ways to write a path that a proxy, a router or a person could take for the same. */
const spellings = (path: string): string[] => [
  path,
  `${path}?x=1`,
  `${path}#x`,
  `${path};x`,
  `${path}/`,
  `${path}//`,
  `/${path}`,
  path.toUpperCase(),
  path.replace('/a', '/A'),
  path.replace('a', '%61'),
  path.replace('p', '%70'),
  path.replaceAll(/[a-z]/g, (c) => `%${c.charCodeAt(0).toString(16)}`),
  path.replace('a', '%2561'),
  path.replace('/', '%2f'),
  path.replaceAll('/', '//'),
  path.replaceAll('/', '\\'),
  path.replace('/', '/./'),
  path.replace('/', '/x/../'),
  path.replace('/', '/%2e%2e/'),
  path.replace('/v1/', '/v1/..;/'),
  path.replace('/v1/', '/v1;x/'),
  path.slice(1),
  `*${path}`,
  `http://localhost${path}`,
  `HTTP://x:1${path}?y`,
  `https://a@b${path}`,
  `http://x${path.replace('a', '%61')}`,
  `http://x?${path}`,
  `ws://x${path}`,
  `//x${path}`,
];

describe('a process without the role api', () => {
  it.each(['worker', 'realtime', 'worker,realtime'])(
    'has no route of the API, however it is written: %s',
    async (roles) => {
      for (const target of spellings('/api/v1/webhooks')) {
        for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS']) {
          const status = await statusOf(roles, method, target);
          expect([400, 404], `${method} ${target}: ${status}`).toContain(status);
        }
      }
    },
  );

  it.each(['worker', 'realtime'])(
    'has none of the routes that are documented: %s',
    async (roles) => {
      const routes = routesOf(await readDocument(nodes.get('api')!.api));
      const own = routes.filter(({ path, isStream }) => path.startsWith('/api/') && !isStream);
      expect(own.length).toBeGreaterThan(20);
      for (const { method, path } of own) {
        expect(await statusOf(roles, method, path.replaceAll(/\{\w+\}/g, 'x')), path).toBe(404);
      }
    },
  );

  it.each(['worker', 'realtime'])('has no pages, documents or request bin: %s', async (roles) => {
    for (const path of [
      '/docs',
      '/docs/json',
      '/docs/asyncapi.json',
      '/docs/index.html',
      '/bin/x',
    ]) {
      expect(await statusOf(roles, 'GET', path), path).toBe(404);
    }
    expect(await statusOf(roles, 'POST', '/bin/x')).toBe(404);
  });

  it.each(['worker', 'realtime', 'worker,realtime'])('answers health checks: %s', async (roles) => {
    expect(await statusOf(roles, 'GET', '/health/live')).toBe(200);
    expect(await statusOf(roles, 'GET', 'http://x/health/live')).toBe(200);
  });
});

describe('live connections', () => {
  const LIVE = ['/api/v1/events/stream', '/socket.io/?EIO=4&transport=polling'];

  it.each(['worker', 'api'])(
    'are served by no process without the role realtime: %s',
    async (roles) => {
      for (const path of [...LIVE, '/ws', '/ws/x']) {
        for (const target of [path, `http://x${path}`, path.replace('s', '%73')]) {
          expect(await statusOf(roles, 'GET', target), target).toBe(404);
        }
      }
    },
  );

  it.each(['realtime', 'worker,realtime'])('are served by one with it: %s', async (roles) => {
    for (const path of LIVE) expect(await statusOf(roles, 'GET', path), path).toBe(200);
    expect(await statusOf(roles, 'GET', 'http://x/api/v1/events/stream')).toBe(200);
  });
});
