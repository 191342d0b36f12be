import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { ProductProcess } from '../support/product-process.js';
import { verify, WebhookReceiver } from '../support/webhook-receiver.js';

const run = promisify(execFile);

let dataDir: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tidings-smoke-'));
  // Root's PostgreSQL runs as another user, who has to pass.
  await chmod(dataDir, 0o755);
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

/** The token and the line that starts with `curl`. */
const printed = (product: ProductProcess): Promise<{ token: string; curl: string }> =>
  eventually(() => {
    const [, token] = /Admin token .*\n\s+(\S+)\n/.exec(product.output) ?? [];
    const [, curl] = /^\s+(curl .+)\n/m.exec(product.output) ?? [];
    if (!token || !curl) throw new Error(`there is no token or no curl line:\n${product.output}`);
    return { token, curl };
  });

/** What the bin shows, newest first. */
async function binOf({ baseUrl }: ProductProcess) {
  const answer = await fetch(`${baseUrl}/bin/demo`);
  const { requests } = (await answer.json()) as {
    requests: { headers: Record<string, string>; body: { id: string } }[];
  };
  return requests;
}

describe('the built product with nothing but a data directory', () => {
  const running: ProductProcess[] = [];
  const start = async (env: NodeJS.ProcessEnv = {}) => {
    const product = await ProductProcess.start(
      { PORT: '0', DATA_DIR: dataDir, ...env },
      { timings: 'production' },
    );
    running.push(product);
    return product;
  };

  // Each test leaves no process behind; the data goes on from one to the next, as on a machine.
  afterAll(() => Promise.all(running.map((product) => product.end())));

  it('says where it is, and the line that it says to try delivers an event', async () => {
    const product = await start();
    const { curl } = await printed(product);
    for (const path of ['/docs', '/health/ready', '/bin/demo']) {
      expect(product.output).toContain(product.baseUrl.replace('127.0.0.1', 'localhost') + path);
    }
    expect(await product.api.as(undefined).get('//health/ready')).toMatchObject({ status: 'ok' });
    const { stdout } = await run('bash', ['-c', curl]);
    const { id } = JSON.parse(stdout.slice(0, stdout.indexOf('}') + 1)) as { id: string };
    expect(stdout.slice(stdout.indexOf('}') + 1)).toContain(id);
    const bin = await eventually(async () => {
      const requests = await binOf(product);
      expect(requests.map((request) => request.body.id)).toEqual([id]);
      return requests;
    });
    expect(bin[0]!.headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/]{43}=$/);
    expect(bin[0]!.headers['webhook-id']).toBe(id);
    expect(await product.end('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('has everything after a restart, and takes the token of before', async () => {
    const before = await start();
    const { token } = await printed(before);
    const { id } = await before.api.as(token).publish({ type: 'demo.kept' });
    const webhooks = await before.api.as(token).get('/webhooks');
    expect(await before.end('SIGTERM')).toEqual({ code: 0, signal: null });

    const after = await start();
    const api = after.api.as(token);
    expect(await api.get(`/events/${id}`)).toMatchObject({ id, type: 'demo.kept' });
    expect((await api.get('/webhooks')).data.map((w) => w.id)).toEqual(
      webhooks.data.map((w) => w.id),
    );
    // The bin has moved with the port; its webhook has followed it.
    const { id: next } = await api.publish({ type: 'demo.next' });
    await eventually(async () => {
      const requests = await binOf(after);
      expect(requests.map((request) => request.body.id)).toContain(next);
    });
    await after.end('SIGTERM');
  });

  it('warns of a misspelt setting, and logs no failure when a caller leaves within its request', async () => {
    const product = await start({ DELIVERY_TIMEOUT: '5', LOG_LEVEL: 'INFO' });
    expect(product.output).toContain('DELIVERY_TIMEOUT is not a setting');
    const { token } = await printed(product);
    for (const sent of ['', '{"type":', '{"type":"a.b","data":{}}']) {
      const socket = connect(Number(new URL(product.baseUrl).port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(
        `POST /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n` +
          `content-type: application/json\r\ncontent-length: 500\r\n\r\n${sent}`,
      );
      // An answered request on another connection: the first one has been read by then.
      await product.api.as(token).get('/events');
      socket.resetAndDestroy();
    }
    await product.end('SIGTERM');
    expect(product.output).not.toMatch(/ERROR|not answering/);
  });

  it('delivers after a restart what was pending when it was killed', async () => {
    const receiver = await WebhookReceiver.start();
    receiver.reply(503);
    const env = { OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8', DELIVERY_RETRY_SCHEDULE_MS: '3000' };
    const before = await start(env);
    const { token } = await printed(before);
    const webhook = await before.api.as(token).webhook(receiver.url(), ['pending.*']);
    const { id } = await before.api.as(token).publish({ type: 'pending.later' });
    await eventually(async () => {
      const { data } = await before.api.as(token).get(`/events/${id}/deliveries`);
      expect(data.map((delivery) => delivery.status)).toEqual(['retrying']);
    });
    expect(await before.end('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });

    receiver.reply(200);
    const refused = receiver.requests.length;
    const after = await start(env);
    await eventually(() => expect(receiver.requests.length).toBeGreaterThan(refused));
    verify(receiver.requests.at(-1)!, webhook.secret);
    expect(receiver.requests.at(-1)!.json.id).toBe(id);
    await eventually(async () => {
      const { data } = await after.api.as(token).get(`/events/${id}/deliveries`);
      expect(data.map((delivery) => delivery.status)).toEqual(['success']);
    });
    await after.end('SIGTERM');
    await receiver.close();
  });
});

describe('a configuration that cannot work', () => {
  const refused = async (env: NodeJS.ProcessEnv) => {
    const product = ProductProcess.spawn(
      { DATA_DIR: join(dataDir, 'none'), ...env },
      { timings: 'production' },
    );
    const { code } = await product.exited;
    expect(code).toBe(1);
    expect(existsSync(join(dataDir, 'none'))).toBe(false);
    return product.output;
  };

  it('stops the start, names every offender, and leaves nothing behind', async () => {
    const bad = {
      PORT: 'http',
      ROLES: 'api,cook',
      DATABASE_URL: 'mysql://localhost/tidings',
      SECRETS_KEY: 'c2hvcnQ=',
      DELIVERY_TIMEOUT_MS: '-1',
      OUTBOUND_ALLOW_CIDRS: '127.0.0.1',
      LOG_LEVEL: 'loud',
    };
    const output = await refused(bad);
    for (const key of Object.keys(bad)) expect(output).toMatch(new RegExp(`^  - ${key} `, 'm'));
    // Names and reasons are for a person: no stack, and no value that may be a secret.
    expect(output).not.toMatch(/^\s+at |c2hvcnQ=/m);
  });

  it('in production is one without a database, a token key and a key for secrets', async () => {
    const output = await refused({ NODE_ENV: 'production' });
    for (const key of ['DATABASE_URL', 'JWT_SECRET', 'SECRETS_KEY']) {
      expect(output).toMatch(new RegExp(`^  - ${key} `, 'm'));
    }
  });
});
