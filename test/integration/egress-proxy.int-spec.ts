import { createServer, type Server } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { Logger } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config/env.js';
import { compileAddressPolicy } from '../../src/outbound/address-policy.js';
import { GuardedConnector } from '../../src/outbound/guarded-connector.client.js';
import { OutboundHttpClient } from '../../src/outbound/outbound-http.client.js';
import { type TlsMaterial, tlsSettings } from '../../src/outbound/tls-settings.js';
import { type CertificateAndKey, CertificateAuthority } from '../support/certificate-authority.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { ALL_TEST_TIMINGS } from '../support/timings.js';
import { WebhookReceiver } from '../support/webhook-receiver.js';

const AMPLE_MS = 20_000;
const UNSENT = { kind: 'unsent', reason: 'proxy_unavailable' };
const OK = expect.objectContaining({ kind: 'responded', statusCode: 200 });

let authority: CertificateAuthority;
let certificate: CertificateAndKey;
let proxy: ConnectProxy;
let receiver: WebhookReceiver;
let secure: Server;
const clients: OutboundHttpClient[] = [];

beforeAll(async () => {
  authority = await CertificateAuthority.create();
  certificate = await authority.issue();
  secure = createServer(certificate, (request, response) => {
    request.resume().on('end', () => response.end('ok'));
  });
  await once(secure.listen(0, '127.0.0.1'), 'listening');
});

beforeEach(async () => {
  proxy = await ConnectProxy.start();
  receiver = await WebhookReceiver.start();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close(0)));
  await proxy.close();
  await receiver.close();
});

afterAll(async () => {
  secure.closeAllConnections();
  secure.close();
  await authority.remove();
});

function clientBehind(url: string, env: NodeJS.ProcessEnv = {}): OutboundHttpClient {
  const { outbound } = loadConfig({
    DATA_DIR: '.tidings',
    JWT_SECRET: 'x'.repeat(32),
    SECRETS_KEY: Buffer.alloc(32).toString('base64'),
    OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
    OUTBOUND_PROXY: url,
    ...env,
  });
  const client = new OutboundHttpClient(outbound, ALL_TEST_TIMINGS);
  clients.push(client);
  return client;
}

function post(
  client: OutboundHttpClient,
  origin = new URL(receiver.url()).origin,
  { timeoutMs = AMPLE_MS, tls }: { timeoutMs?: number; tls?: TlsMaterial } = {},
) {
  const url = { origin, path: '/hook', ...(tls && { tls: tlsSettings(tls) }) };
  const headers = ['content-type', 'application/json'];
  return client.post({ ownerKey: '', url, headers, body: '{}', timeoutMs });
}

const secureOrigin = (host = 'localhost') =>
  `https://${host}:${(secure.address() as AddressInfo).port}`;

describe('behind an egress proxy', () => {
  it('requests go through tunnels to addresses that were resolved and judged here', async () => {
    const client = clientBehind(proxy.url());
    const { port } = new URL(receiver.url());
    expect(await post(client)).toEqual(OK);
    expect(await post(client, `http://localhost:${port}`)).toEqual(OK);
    expect(proxy.asked).toEqual([`127.0.0.1:${port}`, `127.0.0.1:${port}`]);
    // Over the connection that was kept.
    expect(await post(client)).toEqual(OK);
    expect(proxy.asked).toHaveLength(2);
    expect(receiver.requests).toHaveLength(3);
  });

  it('a receiver is reached over the other family where the proxy has no way over the first', async () => {
    const { port } = new URL(receiver.url());
    const connector = new GuardedConnector({
      policy: compileAddressPolicy(['127.0.0.0/8', '::1/128']),
      trustedOrigins: new Set(),
      proxy: { protocol: 'http:', hostname: '127.0.0.1', port: proxy.port },
      resolve: (_name, _opener, callback) =>
        process.nextTick(callback, null, [
          { address: '::1', family: 6 },
          { address: '127.0.0.1', family: 4 },
        ]),
    });
    const target = { protocol: 'http:', host: `a.example:${port}`, hostname: 'a.example', port };
    const opened = await new Promise<Socket | null>((resolve, reject) => {
      const opener = { ownerKey: '', setQueued: () => undefined };
      connector.open(target, opener, (error, socket) => (error ? reject(error) : resolve(socket)));
    });
    expect(proxy.asked).toEqual([`[::1]:${port}`, `127.0.0.1:${port}`]);
    expect(opened?.destroyed).toBe(false);
    connector.close();
  });

  it('TLS is between us and the receiver', async () => {
    const client = clientBehind(proxy.url());
    const tls = { ca: authority.cert };
    expect(await post(client, secureOrigin(), { tls })).toEqual(OK);
    expect(await post(client, secureOrigin('127.0.0.1'), { tls })).toEqual(OK);
    expect(await post(client, secureOrigin())).toMatchObject({
      error: 'tls',
      message: expect.stringMatching(/unknown issuer/),
    });
  });

  it('the proxy itself may require TLS and credentials', async () => {
    await proxy.close();
    proxy = await ConnectProxy.start(0, certificate);
    const env = { OUTBOUND_CA: authority.cert };
    const client = clientBehind(proxy.url('user:p%40ss@', 'localhost'), env);
    expect(await post(client)).toEqual(OK);
    expect(await post(client, secureOrigin())).toEqual(OK);
    const basic = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    expect(proxy.authorizations).toEqual([basic, basic]);
  });

  it.each([
    'http://10.0.0.1',
    'http://169.254.169.254',
    'http://[fd00::1]',
    'http://[64:ff9b::a00:1]',
    'http://localhost:9',
  ])('%s is refused before the proxy is asked', async (origin) => {
    const client = clientBehind(proxy.url(), { OUTBOUND_ALLOW_CIDRS: '' });
    expect(await post(client, origin)).toMatchObject({ kind: 'failed', error: 'blocked' });
    expect(proxy.asked).toEqual([]);
  });

  it('a trusted origin, which is this process, needs no proxy', async () => {
    const client = clientBehind(proxy.url(), { OUTBOUND_ALLOW_CIDRS: '' });
    client.trustOrigin(new URL(receiver.url()).origin, /^\//);
    expect(await post(client)).toEqual(OK);
    expect(proxy.asked).toEqual([]);
  });

  it('a receiver that the proxy cannot reach has failed', async () => {
    const client = clientBehind(proxy.url());
    const origin = new URL(receiver.url()).origin;
    await receiver.close();
    expect(await post(client, origin)).toMatchObject({ kind: 'failed', error: 'connect' });
    receiver = await WebhookReceiver.start();
    for (const status of [500, 502, 503, 504]) {
      proxy.behaviour = status;
      expect(await post(client)).toMatchObject({ kind: 'failed', error: 'connect' });
    }
    proxy.behaviour = 403;
    expect(await post(client)).toMatchObject({ kind: 'failed', error: 'blocked' });
  });
});

describe('an outage of the egress proxy makes no attempt', () => {
  it('when it is down, until it is up again', async () => {
    const { port } = proxy;
    const client = clientBehind(proxy.url());
    await proxy.close();
    expect(await post(client)).toEqual(UNSENT);
    expect(await post(client, secureOrigin())).toEqual(UNSENT);
    proxy = await ConnectProxy.start(port);
    expect(await post(client)).toEqual(OK);
  });

  it.each([401, 407, 429])('when it answers %i', async (status) => {
    proxy.behaviour = status;
    expect(await post(clientBehind(proxy.url()))).toEqual(UNSENT);
  });

  it('when it says nothing', async () => {
    proxy.behaviour = 'silence';
    const client = clientBehind(proxy.url());
    expect(await post(client, undefined, { timeoutMs: 200 })).toEqual(UNSENT);
    expect(await post(client, secureOrigin(), { timeoutMs: 200 })).toEqual(UNSENT);
  });

  it('but a receiver that is slow for a proxy that answers others has failed', async () => {
    const client = clientBehind(proxy.url());
    proxy.behaviour = 'silence';
    const slow = post(client, 'http://127.0.0.2:8099', { timeoutMs: 2_000 });
    await vi.waitUntil(() => proxy.asked.length === 1);
    proxy.behaviour = 'tunnel';
    expect(await post(client)).toEqual(OK);
    expect(await slow).toMatchObject({ kind: 'failed', error: 'timeout' });
  });

  it('when its name does not exist, or its certificate is not valid', async () => {
    expect(await post(clientBehind('http://no-such-proxy.invalid:3128'))).toEqual(UNSENT);
    await proxy.close();
    proxy = await ConnectProxy.start(0, certificate);
    expect(await post(clientBehind(proxy.url('', 'localhost')))).toEqual(UNSENT);
  });

  it('and is logged once, without credentials', async () => {
    const lines: unknown[] = [];
    const log = vi
      .spyOn(Logger.prototype, 'error')
      .mockImplementation((line) => void lines.push(line));
    try {
      await proxy.close();
      const client = clientBehind('http://user:hunter2@127.0.0.1:9');
      await post(client);
      await post(client);
      expect(lines).toEqual([expect.objectContaining({ proxy: '127.0.0.1:9' })]);
      expect(JSON.stringify(lines)).not.toContain('hunter2');
    } finally {
      log.mockRestore();
    }
  });
});
