import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { BROWSER_START_MS, TestBrowser } from '../support/browser.js';
import { pathOf, readDocument, routesOf } from '../support/documented-routes.js';
import { eventually } from '../support/eventually.js';
import { RawConnection } from '../support/raw-connection.js';
import { adminToken } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

const SECRETS = {
  JWT_SECRET: 'x'.repeat(32),
  SECRETS_KEY: Buffer.alloc(32).toString('base64'),
  OUTBOUND_ALLOW_HTTP: '',
};

let world: World;
let app: RunningApp;

beforeAll(async () => {
  world = await World.create();
  app = await world.start();
});
afterAll(() => world?.stop());

interface Head {
  status: number;
  headers: Map<string, string>;
}

/** The head of the response to a request that is sent as it is. */
async function headOf(request: string, { baseUrl }: RunningApp = app): Promise<Head> {
  const connection = RawConnection.open(baseUrl);
  onTestFinished(() => connection.close());
  await connection.send(request);
  await eventually(() => expect(connection.received, request.slice(0, 200)).toContain('\r\n\r\n'));
  connection.close();
  const [head = ''] = connection.received.split('\r\n\r\n');
  const [, ...lines] = head.split('\r\n');
  const headers = lines.map((line) => /^([^:]+): ?(.*)$/.exec(line)!);
  return {
    status: connection.statuses[0]!,
    headers: new Map(headers.map(([, name = '', value = '']) => [name.toLowerCase(), value])),
  };
}

const request = (line: string, ...headers: string[]): string =>
  [`${line} HTTP/1.1`, 'host: localhost', ...headers, '', ''].join('\r\n');

const CALLER = `authorization: Bearer ${adminToken()}`;

function expectSafe({ headers }: Head, name: string): void {
  expect(headers.get('x-content-type-options'), name).toBe('nosniff');
  expect(headers.get('content-security-policy'), name).toMatch(
    /default-src 'none'.*frame-ancestors 'none'/,
  );
  expect(headers.get('x-frame-options'), name).toBe('DENY');
  expect(headers.get('referrer-policy'), name).toBe('no-referrer');
}

describe('every response', () => {
  it('of a documented route has the headers of a web product, and stays in no cache', async () => {
    for (const route of routesOf(await readDocument(app.api))) {
      const line = `${route.method} ${pathOf(route, (prefix) => `${prefix}_x`).slice(1)}`;
      for (const headers of [[], [CALLER]]) {
        const head = await headOf(request(line, ...headers));
        expectSafe(head, line);
        expect(head.headers.get('cache-control'), line).toMatch(
          route.isStream && head.status === 200 ? /no-cache|no-store/ : /^no-store$/,
        );
      }
    }
  });

  it.each([
    ['no route', request('GET /nowhere'), 404],
    ['a route of another method', request('PUT /health/live'), 404],
    ['a path that cannot be decoded', request('GET /api/v1/events/%ff', CALLER), 400],
    ['a name that is too long', request(`GET /api/v1/events/${'a'.repeat(300)}`, CALLER), 414],
    ['no HTTP', 'GARBAGE\r\n\r\n', 400],
    ['headers that are too large', request('GET /', `x: ${'a'.repeat(20_000)}`), 431],
    [
      'a body that is too large',
      request(
        'POST /api/v1/webhooks',
        CALLER,
        'content-type: application/json',
        'content-length: 99999999',
      ),
      413,
    ],
    ['an expectation that is not known', request('GET /health/live', 'expect: wonders'), 417],
    ['no host', 'GET /health/live HTTP/1.1\r\n\r\n', 400],
    [
      'an offer that is ignored',
      request('GET /health/live', 'connection: upgrade', 'upgrade: h2c'),
      200,
    ],
    ['a WebSocket elsewhere', request('GET /x', 'connection: upgrade', 'upgrade: websocket'), 400],
    [
      'a WebSocket without a credential',
      request(
        'GET /ws',
        'connection: upgrade',
        'upgrade: websocket',
        'sec-websocket-version: 13',
        'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
      ),
      401,
    ],
    ['polling', request('GET /socket.io/?EIO=4&transport=polling'), 200],
    ['polling that is refused', request('GET /socket.io/?EIO=9&transport=x'), 400],
    ['the document', request('GET /docs/json'), 200],
    ['the other document', request('GET /docs/asyncapi.json'), 200],
    ['the request bin', request('GET /bin/demo'), 200],
  ])('has them: %s', async (name, text, status) => {
    const head = await headOf(text);
    expect(head.status).toBe(status);
    expectSafe(head, name);
    expect(head.headers.get('cache-control')).toBe('no-store');
  });
});

describe('Swagger UI', () => {
  it(
    'runs under its policy, which allows nothing from elsewhere',
    { timeout: BROWSER_START_MS },
    async () => {
      const browser = await TestBrowser.start();
      onTestFinished(() => browser.close());
      const page = await browser.open('about:blank');
      const complaints: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('requestfailed', (failed) => complaints.push(failed.url()));
      const response = await page.goto(`${app.baseUrl}/docs`);
      expect(response?.headers()['content-security-policy']).toMatch(
        /script-src 'self';.*frame-ancestors 'none'/,
      );
      await page.waitForSelector('#operations-Health-health_live, .opblock');
      expect(await page.$$('.opblock')).not.toHaveLength(0);
      expect(complaints).toEqual([]);
    },
  );

  it('has its policy on all of its files', async () => {
    for (const path of ['/docs', '/docs/', '/docs/index.html', '/docs/swagger-ui-init.js']) {
      const head = await headOf(request(`GET ${path}`));
      expect(head.status, path).toBe(200);
      expectSafe(head, path);
      expect(head.headers.get('content-security-policy'), path).toContain("script-src 'self'");
    }
  });

  it('is there in production only if it is asked for; the document always is', async () => {
    for (const [setting, status] of [
      ['', 404],
      ['false', 404],
      ['true', 200],
    ] as const) {
      const node = await world.start({ ...SECRETS, NODE_ENV: 'production', SWAGGER_UI: setting });
      for (const path of ['/docs', '/docs/index.html', '/docs/swagger-ui-init.js']) {
        expect((await headOf(request(`GET ${path}`), node)).status, path + setting).toBe(status);
      }
      expect((await headOf(request('GET /docs/json'), node)).status).toBe(200);
      expect((await headOf(request('GET /bin/demo'), node)).status).toBe(404);
    }
  });
});
