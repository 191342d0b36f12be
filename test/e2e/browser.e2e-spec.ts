import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Page } from 'puppeteer-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BreakableProxy } from '../../clients/typescript/test/breakable-proxy.js';
import { BROWSER_START_MS, TestBrowser } from '../support/browser.js';
import { eventually } from '../support/eventually.js';
import { PageServer } from '../support/page-server.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

/** Functions that are given to `evaluate` run in the page, which has these. */
declare const report: (what: Report) => void;
declare const io: typeof import('socket.io-client').io;
declare const tidings: typeof import('../../clients/typescript/src/tidings-client.js');

/** What a page has reported to the test. */
interface Report {
  what: string;
  [detail: string]: unknown;
}

/** Of a plain WebSocket. */
interface Frame {
  type: string;
  event?: object;
}

interface OpenPage {
  page: Page;
  reports: Report[];
}

const HTML = `<!doctype html><link rel="icon" href="data:,"><script type="module">
  import { io } from '/socket.io.esm.min.js';
  import * as tidings from '/client/tidings-client.js';
  Object.assign(globalThis, { io, tidings });
</script>`;

let world: World;
let product: RunningApp;
let browser: TestBrowser;
let folder: string;
/** A site that the product lets in, and one that it does not. */
let friend: PageServer;
let stranger: PageServer;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'tidings-pages-')));
  friend = await PageServer.start(HTML, folder);
  stranger = await PageServer.start(HTML, folder);
  await Promise.all([
    World.create().then(async (created) => {
      world = created;
      product = await world.start(environment());
    }),
    TestBrowser.start().then((started) => (browser = started)),
    buildScripts(),
  ]);
}, BROWSER_START_MS);

/** What a site would serve: the client as it is built, and Socket.IO's own. */
async function buildScripts(): Promise<void> {
  const bundle = 'socket.io.esm.min.js';
  await copyFile(`node_modules/socket.io-client/dist/${bundle}`, join(folder, bundle));
  const args = ['-p', 'clients/typescript', '--outDir', join(folder, 'client')];
  await promisify(execFile)(process.execPath, ['node_modules/typescript/bin/tsc', ...args]);
}

afterEach(async () => {
  await browser?.closePages();
});

afterAll(async () => {
  await browser?.close();
  await world?.stop();
  await Promise.all([friend, stranger].map((site) => site?.close()));
  if (folder) await rm(folder, { recursive: true });
});

const environment = () => ({
  REALTIME_ALLOWED_ORIGINS: friend.origin,
  REALTIME_HEARTBEAT_MS: '1500',
});

async function openPage(url = friend.origin): Promise<OpenPage> {
  const reports: Report[] = [];
  const page = await browser.open(url);
  await page.exposeFunction('report', (what: Report) => void reports.push(what));
  return { page, reports };
}

const publish = async (ownerId: string): Promise<string> =>
  (await product.api.publish({ type: 'trade.submitted', ownerId })).id;

/** Waits until the page has reported this so many times. */
const reported = (reports: Report[], what: string, times = 1): Promise<Report> =>
  eventually(() => {
    const such = reports.filter((one) => one.what === what);
    expect(such.length, JSON.stringify(reports)).toBeGreaterThanOrEqual(times);
    return such[times - 1]!;
  });

const eventIds = (reports: Report[]) =>
  reports.filter(({ what }) => what === 'event').map(({ id }) => String(id));

describe('a page with a plain WebSocket', () => {
  const connect = ({ page }: OpenPage, token: string, { baseUrl }: RunningApp = product) =>
    page.evaluate(
      (url, token) => {
        const socket = new WebSocket(url, ['bearer', token]);
        socket.addEventListener('open', () => {
          report({ what: 'open', protocol: socket.protocol });
          socket.send(JSON.stringify({ type: 'subscribe', topics: ['trade.*'], requestId: 1 }));
        });
        socket.addEventListener('message', ({ data }) => {
          const { type, event, ...frame } = JSON.parse(String(data)) as Frame;
          report({ ...frame, ...event, what: type });
        });
        socket.addEventListener('close', ({ code, reason, wasClean }) => {
          report({ what: 'close', code, reason, wasClean });
        });
      },
      `${baseUrl.replace('http', 'ws')}/ws`,
      token,
    );

  it('receives events, and stays while the browser answers the heartbeat', async () => {
    const owner = randomUUID();
    const open = await openPage();
    await connect(open, tokenFor(owner));
    expect(await reported(open.reports, 'open')).toEqual({ what: 'open', protocol: 'bearer' });
    expect(await reported(open.reports, 'connected')).toMatchObject({ userId: owner });
    expect(await reported(open.reports, 'ack')).toMatchObject({ ok: true, topics: ['trade.*'] });
    const ids = [await publish(owner)];
    await reported(open.reports, 'ping', 3);
    ids.push(await publish(owner));
    await reported(open.reports, 'event', 2);
    expect(eventIds(open.reports)).toEqual(ids);
  });

  it('learns from the close code whether to come back', async () => {
    const closing = await world.start(environment());
    const cases: [token: string, app: RunningApp, end: (reports: Report[]) => Promise<unknown>][] =
      [
        [tokenFor(randomUUID()), closing, () => closing.app.close()],
        [tokenFor(randomUUID(), { expiresInS: 6 }), product, () => Promise.resolve()],
        [tokenFor(randomUUID()), product, closeAsOperator],
      ];
    const expected = [
      { what: 'close', code: 3000, reason: 'draining', wasClean: true },
      { what: 'close', code: 3001, reason: 'token_expired', wasClean: true },
      { what: 'close', code: 3502, reason: 'closed_by_operator', wasClean: true },
    ];
    const closes = cases.map(async ([token, app, end]) => {
      const open = await openPage();
      await connect(open, token, app);
      await reported(open.reports, 'ack');
      await end(open.reports);
      return reported(open.reports, 'close');
    });
    expect(await Promise.all(closes)).toEqual(expected);
  });

  it('gets no connection with a token that is none', async () => {
    const open = await openPage();
    await connect(open, 'nonsense');
    expect(await reported(open.reports, 'close')).toMatchObject({ code: 1006 });
    expect(open.reports).toHaveLength(1);
  });
});

/** Ends the connection of the page, as soon as the register knows of it. */
async function closeAsOperator(reports: Report[]): Promise<void> {
  const { connectionId } = await reported(reports, 'connected');
  await eventually(() => product.api.delete(`/admin/connections/${String(connectionId)}`));
}

const streamUrl = (query: Record<string, string>, { baseUrl } = product) =>
  `${baseUrl}/api/v1/events/stream?${new URLSearchParams(query).toString()}`;

const listen = ({ page }: OpenPage, url: string) =>
  page.evaluate((url) => {
    const source = new EventSource(url);
    for (const what of ['connected', 'event', 'resumed', 'draining', 'error']) {
      source.addEventListener(what, (message) => {
        const { data, lastEventId } = message as MessageEvent;
        const { readyState } = source;
        if (data === undefined) report({ what: 'broken', readyState });
        else report({ ...(JSON.parse(String(data)) as object), what, lastEventId });
      });
    }
  }, url);

describe('a page with an EventSource', () => {
  it('receives events, and what it missed when the server had cut it', async () => {
    const owner = randomUUID();
    const open = await openPage();
    await listen(open, streamUrl({ token: tokenFor(owner), types: 'trade.*' }));
    await reported(open.reports, 'connected');
    const ids = [await publish(owner)];
    expect(await reported(open.reports, 'event')).toMatchObject({
      id: ids[0],
      lastEventId: ids[0],
    });

    await closeAsOperator(open.reports);
    expect(await reported(open.reports, 'error')).toMatchObject({ code: 'closed_by_operator' });
    expect(await reported(open.reports, 'broken')).toMatchObject({ readyState: 0 });
    ids.push(await publish(owner), await publish(owner));
    expect(await reported(open.reports, 'resumed')).toMatchObject({ recovered: true, replayed: 2 });
    ids.push(await publish(owner));
    await reported(open.reports, 'event', 4);
    expect(eventIds(open.reports)).toEqual(ids);
  });

  it('resumes in a new one where an old one was', async () => {
    const owner = randomUUID();
    const ids = [await publish(owner), await publish(owner), await publish(owner)];
    const open = await openPage();
    await listen(open, streamUrl({ token: tokenFor(owner), after: ids[0]! }));
    expect(await reported(open.reports, 'resumed')).toMatchObject({ recovered: true, replayed: 2 });
    expect(eventIds(open.reports)).toEqual(ids.slice(1));
  });

  it('does not come back with a token that is none', async () => {
    const open = await openPage();
    await listen(open, streamUrl({ token: 'nonsense' }));
    expect(await reported(open.reports, 'broken')).toMatchObject({ readyState: 2 });
    expect(open.reports).toHaveLength(1);
  });
});

describe('a page with fetch', () => {
  /** Reports the response, and the beginning of its body. */
  const get = ({ page }: OpenPage, url: string, headers: Record<string, string>) =>
    page.evaluate(
      async (url, headers) => {
        try {
          const response = await fetch(url, { headers });
          const reader = response.body!.getReader();
          const { value } = await reader.read();
          await reader.cancel();
          return { status: response.status, text: new TextDecoder().decode(value as Uint8Array) };
        } catch (error) {
          return { status: 0, text: String(error) };
        }
      },
      url,
      headers,
    );
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  it('may read the stream with headers of its own', async () => {
    const open = await openPage();
    const { key } = await product.api.post('/api-keys', { name: 'page' }, 201);
    const tracing = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
    const token = bearer(tokenFor(randomUUID()));
    const sent: Record<string, string>[] = [
      token,
      { ...token, ...tracing, 'last-event-id': 'nonsense' },
      { 'x-api-key': key },
    ];
    for (const headers of sent) {
      const { status, text } = await get(open, streamUrl({}), headers);
      expect([status, text]).toEqual([200, expect.stringContaining('event: connected')]);
    }
  });

  it('may read why it was refused', async () => {
    const open = await openPage();
    const good = bearer(tokenFor('ann', { topics: ['trade.*'] }));
    for (const [code, query, headers] of [
      ['invalid_token', {}, bearer('nonsense')],
      ['missing_credentials', {}, {}],
      ['forbidden', { types: 'price' }, good],
      ['invalid_input', { types: 'a..b' }, good],
      ['invalid_input', { nonsense: '1' }, good],
    ] as const) {
      const { text } = await get(open, streamUrl({ ...query }), { ...headers });
      expect(text).toContain(`"code":"${code}"`);
    }
  });

  it('may not read the rest of the API from another host', async () => {
    const open = await openPage();
    const headers = bearer(tokenFor(randomUUID()));
    const url = `${product.baseUrl}/api/v1/events`;
    expect((await fetch(url, { headers })).status).toBe(200);
    expect(await get(open, url, headers)).toMatchObject({ status: 0 });
  });
});

const connectSocketIo = (
  { page }: OpenPage,
  token: string,
  transports: ('polling' | 'websocket')[],
) =>
  page.evaluate(
    (url, token, transports) => {
      const socket = io(url, { auth: { token }, transports, reconnection: false });
      socket.io.engine.on('upgrade', ({ name }) => report({ what: 'upgrade', name }));
      socket.onAny((what: string, payload: object) => report({ ...payload, what }));
      socket.on('connect_error', ({ message }) => report({ what: 'connect_error', message }));
      socket.on('connect', () => {
        socket.emit('subscribe', { topics: ['trade.*'] }, (answer: object) => {
          report({ ...answer, what: 'subscribed', transport: socket.io.engine.transport.name });
        });
      });
    },
    product.baseUrl,
    token,
    transports,
  );

describe("a page with Socket.IO's own client", () => {
  it.each([[['websocket' as const]], [['polling' as const]]])(
    'receives events over %j alone',
    async (transports) => {
      const owner = randomUUID();
      const open = await openPage();
      await connectSocketIo(open, tokenFor(owner), transports);
      const transport = transports[0];
      expect(await reported(open.reports, 'subscribed')).toMatchObject({ ok: true, transport });
      const id = await publish(owner);
      expect(await reported(open.reports, 'event')).toMatchObject({ id, type: 'trade.submitted' });
      expect(open.reports.map(({ what }) => what)).not.toContain('upgrade');
    },
  );

  it('receives events before and after the upgrade from polling', async () => {
    const owner = randomUUID();
    const open = await openPage();
    await connectSocketIo(open, tokenFor(owner), ['polling', 'websocket']);
    await reported(open.reports, 'subscribed');
    const ids = [await publish(owner)];
    expect(await reported(open.reports, 'upgrade')).toMatchObject({ name: 'websocket' });
    ids.push(await publish(owner));
    await reported(open.reports, 'event', 2);
    expect(eventIds(open.reports)).toEqual(ids);
  });

  it('learns why it was refused', async () => {
    const open = await openPage();
    await connectSocketIo(open, 'nonsense', ['polling', 'websocket']);
    expect(await reported(open.reports, 'connect_error')).toMatchObject({
      message: expect.stringMatching(/token/i) as unknown,
    });
  });
});

describe("a page with the project's client", () => {
  it.each(['webSocket', 'socketIo'] as const)(
    'receives every event once over %s, however often it is cut',
    async (transport) => {
      const owner = randomUUID();
      const line = await BreakableProxy.to(product.baseUrl);
      const open = await openPage();
      await open.page.evaluate(
        (url, token, transport) => {
          const client = tidings.connect({
            url,
            transport: transport === 'webSocket' ? tidings.webSocket() : tidings.socketIo(io),
            getToken: () => token,
            backoff: { baseMs: 20, maxMs: 100 },
            onGap: () => report({ what: 'gap' }),
            onState: (state) => report({ what: state }),
            onError: () => undefined,
          });
          const { ready } = client.subscribe(['trade.*'], ({ id }) =>
            report({ what: 'event', id }),
          );
          return ready;
        },
        line.url,
        tokenFor(owner),
        transport,
      );
      const ids = [await publish(owner)];
      await reported(open.reports, 'event');
      for (let round = 1; round <= 4; round++) {
        ids.push(...(await Promise.all(Array.from({ length: 5 }, () => publish(owner)))));
        line.cut();
        ids.push(await publish(owner));
        await reported(open.reports, 'connected', round + 1);
      }
      await reported(open.reports, 'event', ids.length);
      // What would come twice would come before this one.
      ids.push(await publish(owner));
      await reported(open.reports, 'event', ids.length);
      expect(eventIds(open.reports).at(-1)).toBe(ids.at(-1));
      expect(eventIds(open.reports).toSorted()).toEqual(ids.toSorted());
      expect(open.reports.map(({ what }) => what)).not.toContain('gap');
      await line.close();
    },
  );
});

describe("a page with the project's client whose token is refused", () => {
  const start = (open: OpenPage, tokens: string[]) =>
    open.page.evaluate(
      (url, tokens) => {
        const [token] = tokens;
        const client = tidings.connect({
          url,
          ...(tokens.length > 1 ? { getToken: () => tokens.shift()! } : { token }),
          onState: (state) => report({ what: state }),
          onError: ({ code }) => report({ what: 'error', code }),
        });
        client.subscribe(['trade.*'], () => undefined).ready.catch(() => undefined);
      },
      product.baseUrl,
      tokens,
    );

  it('learns that, and does not come back', async () => {
    const open = await openPage();
    await start(open, ['nonsense']);
    for (const what of ['closed', 'error']) await reported(open.reports, what);
    expect(open.reports).toContainEqual({ what: 'error', code: 'invalid_token' });
  });

  it('comes back with another one', async () => {
    const open = await openPage();
    await start(open, ['nonsense', tokenFor(randomUUID())]);
    for (const what of ['connected', 'error']) await reported(open.reports, what);
    expect(open.reports).toContainEqual({ what: 'error', code: 'invalid_token' });
  });
});

describe('a page of the same host', () => {
  it('needs no permission', async () => {
    const owner = randomUUID();
    // Its policy allows connections to its own host; that of other responses allows none.
    const open = await openPage(`${product.baseUrl}/docs`);
    await listen(open, streamUrl({ token: tokenFor(owner) }));
    await reported(open.reports, 'connected');
    await open.page.evaluate((token) => {
      const socket = new WebSocket('/ws/trade.*/AAPL', ['bearer', token]);
      socket.addEventListener('open', () => report({ what: 'open' }));
    }, tokenFor(owner));
    await reported(open.reports, 'open');
  });
});

describe('every way to connect', () => {
  /** Whether the page gets anything, one way after the other. */
  const attempt = ({ page }: OpenPage, token: string) =>
    page.evaluate(
      async (http, token) => {
        const ws = http.replace('http', 'ws');
        const opens = (target: EventTarget & { close(): void }) =>
          new Promise<boolean>((resolve) => {
            for (const name of ['open', 'message']) {
              target.addEventListener(name, () => resolve(true));
            }
            target.addEventListener('error', () => resolve(false));
          }).finally(() => target.close());
        const reads = (path: string, headers: Record<string, string>) =>
          fetch(http + path, { headers }).then(
            ({ ok }) => ok,
            () => false,
          );
        const stream = '/api/v1/events/stream';
        const engine = '/socket.io/?EIO=4&transport';
        return {
          webSocket: await opens(new WebSocket(`${ws}/ws`, ['bearer', token])),
          webSocketOfTopic: await opens(new WebSocket(`${ws}/ws/trade.*/AAPL?token=${token}`)),
          engineWebSocket: await opens(new WebSocket(`${ws}${engine}=websocket`)),
          enginePolling: await reads(`${engine}=polling`, {}),
          eventSource: await opens(new EventSource(`${http}${stream}?token=${token}`)),
          stream: await reads(`${stream}?token=${token}`, {}),
          streamWithHeader: await reads(stream, { authorization: `Bearer ${token}` }),
        };
      },
      product.baseUrl,
      token,
    );

  it.each<[whose: string, expected: boolean, url: () => string]>([
    ['is open to a page of a host that may', true, () => friend.origin],
    ['is closed to a page of a host that may not', false, () => stranger.origin],
    ['is closed to a page of no host', false, () => friend.sandboxed],
  ])('%s', async (_whose, expected, url) => {
    const answers = await attempt(await openPage(url()), tokenFor(randomUUID()));
    expect(new Set(Object.values(answers)), JSON.stringify(answers)).toEqual(new Set([expected]));
  });

  it("is closed to Socket.IO's own client on a page that may not", async () => {
    for (const transport of ['websocket', 'polling'] as const) {
      const open = await openPage(stranger.origin);
      await connectSocketIo(open, tokenFor(randomUUID()), [transport]);
      await reported(open.reports, 'connect_error');
      expect(open.reports).toHaveLength(1);
    }
  });
});
