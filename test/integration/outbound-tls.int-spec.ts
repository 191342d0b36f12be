import { once } from 'node:events';
import { createServer as createHttpsServer, type Server, type ServerOptions } from 'node:https';
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server as TcpServer,
} from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/env.js';
import type { Failed } from '../../src/outbound/attempt-result.js';
import { OutboundHttpClient } from '../../src/outbound/outbound-http.client.js';
import { type TlsMaterial, tlsSettings } from '../../src/outbound/tls-settings.js';
import { CertificateAuthority, type CertificateAndKey } from '../support/certificate-authority.js';
import { TEST_CERT, TEST_KEY } from '../support/certificate.js';
import { ALL_TEST_TIMINGS } from '../support/timings.js';

const AMPLE_MS = 20_000;

let authority: CertificateAuthority;
let other: CertificateAuthority;
let good: CertificateAndKey;
const clients: OutboundHttpClient[] = [];
const servers: (Server | TcpServer)[] = [];

beforeAll(async () => {
  authority = await CertificateAuthority.create();
  other = await CertificateAuthority.create('Other Authority');
  good = await authority.issue();
});

afterAll(async () => {
  await authority.remove();
  await other.remove();
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close(0)));
  for (const server of servers.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  }
});

function clientWith(env: NodeJS.ProcessEnv = {}): OutboundHttpClient {
  const { outbound } = loadConfig({
    DATA_DIR: '.tidings',
    JWT_SECRET: 'x'.repeat(32),
    SECRETS_KEY: Buffer.alloc(32).toString('base64'),
    OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
    ...env,
  });
  const client = new OutboundHttpClient(outbound, ALL_TEST_TIMINGS);
  clients.push(client);
  return client;
}

interface Receiver {
  port: number;
  /** Of each request: the common name of the client certificate, and the connection it came over. */
  seen: { client: string | undefined; socket: TLSSocket }[];
}

async function receiver(options: ServerOptions): Promise<Receiver> {
  const seen: Receiver['seen'] = [];
  const server = createHttpsServer(options, (request, response) => {
    const socket = request.socket as TLSSocket;
    const name = socket.getPeerCertificate().subject?.CN;
    seen.push({ client: Array.isArray(name) ? name[0] : name, socket });
    request.resume().on('end', () => response.end('ok'));
  });
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: (server.address() as AddressInfo).port, seen };
}

async function tcpReceiver(onConnection: Parameters<typeof createTcpServer>[1]): Promise<number> {
  const server = createTcpServer(onConnection);
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

function post(
  client: OutboundHttpClient,
  port: number,
  material?: TlsMaterial,
  host = 'localhost',
) {
  const tls = material && tlsSettings(material);
  const url = { origin: `https://${host}:${port}`, path: '/hook', ...(tls && { tls }) };
  return client.post({ ownerKey: '', url, headers: [], body: '{}', timeoutMs: AMPLE_MS });
}

const OK = expect.objectContaining({ kind: 'responded', statusCode: 200 });

describe('why an attempt failed', () => {
  it.each<[string, () => ServerOptions | Promise<ServerOptions>, RegExp]>([
    [
      'expired',
      () => authority.issue({ from: -10, until: -2 }),
      /certificate of the receiver expired on \d{4}-\d\d-\d\dT[\d:]{8}Z\./,
    ],
    ['not valid yet', () => authority.issue({ from: 2 }), /not valid before \d{4}-/],
    [
      'for another host',
      () => authority.issue({ names: ['DNS:other.example', 'DNS:*.other.example'] }),
      /Wrong host: .* for other\.example, \*\.other\.example, not for localhost\./,
    ],
    ['self-signed', () => ({ cert: TEST_CERT, key: TEST_KEY }), /is self-signed\./],
    ['of an unknown issuer', () => other.issue(), /unknown issuer/],
    [
      'of an unknown issuer that is sent along',
      async () => {
        const { cert, key } = await other.issue();
        return { cert: cert + other.cert, key };
      },
      /unknown issuer/,
    ],
    [
      'of too old a protocol',
      () => ({
        ...good,
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1',
        ciphers: 'ALL@SECLEVEL=0',
      }),
      /does not support TLS 1\.2/,
    ],
  ])('is said for a certificate that is %s', async (_name, options, message) => {
    const { port } = await receiver(await options());
    const result = await post(clientWith({ OUTBOUND_CA: authority.cert }), port);
    expect(result).toMatchObject({ kind: 'failed', error: 'tls' });
    expect((result as Failed).message).toMatch(message);
  });

  it.each(['-tls1_3', '-tls1_2'])(
    'is said for a receiver that requires a client certificate, with %s',
    async (version) => {
      const port = await authority.serve(good, [version, '-Verify', '1', '-verify_return_error']);
      const result = await post(clientWith({ OUTBOUND_CA: authority.cert }), port);
      expect(result).toMatchObject({ kind: 'failed', error: expect.stringMatching(/tls|http/) });
      expect((result as Failed).message).toMatch(/requires? .*(client certificate|one)/);
    },
  );

  it('is said for a client certificate that the receiver does not accept', async () => {
    const port = await authority.serve(good, ['-Verify', '1', '-verify_return_error']);
    const { cert, key } = await other.issue();
    const material = { certificate: cert, privateKey: key, ca: authority.cert };
    const result = await post(clientWith(), port, material);
    expect(result).toMatchObject({ kind: 'failed', error: expect.stringMatching(/tls|http/) });
    expect((result as Failed).message).toMatch(/client certificate/);
  });

  it('is said for a receiver that does not speak TLS', async () => {
    const port = await tcpReceiver((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    const result = await post(clientWith(), port);
    expect(result).toMatchObject({ error: 'tls', message: expect.stringMatching(/not speak TLS/) });
  });

  it.each<[string, string, string, (port: number) => number | Promise<number>, RegExp]>([
    ['refused', 'http', 'connect', (port) => port, /^Connection refused/],
    [
      'a reset',
      'http',
      'http',
      () => tcpReceiver((s) => void s.once('data', () => s.resetAndDestroy())),
      /^Connection reset/,
    ],
    [
      'a close',
      'http',
      'http',
      () => tcpReceiver((s) => void s.once('data', () => s.end())),
      /^Connection closed/,
    ],
    [
      'a reset in the handshake',
      'https',
      'tls',
      () => tcpReceiver((s) => void s.once('data', () => s.resetAndDestroy())),
      /during the handshake/,
    ],
    ['silence', 'http', 'timeout', () => tcpReceiver(() => undefined), /^Timed out/],
    [
      'noise',
      'http',
      'bad_response',
      () => tcpReceiver((s) => void s.end('220 smtp ready\r\n')),
      /not a complete HTTP response/,
    ],
    [
      'half an answer',
      'http',
      'bad_response',
      () => tcpReceiver((s) => void s.once('data', () => s.end('HTTP/1.1 2'))),
      /response/,
    ],
  ])('is said for %s over %s', async (_name, scheme, error, start, message) => {
    const closed = createTcpServer();
    await once(closed.listen(0, '127.0.0.1'), 'listening');
    const { port: free } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const port = await start(free);
    const url = { origin: `${scheme}://127.0.0.1:${port}`, path: '/' };
    const request = {
      ownerKey: '',
      url,
      headers: [],
      body: '{}',
      timeoutMs: error === 'timeout' ? 200 : AMPLE_MS,
    };
    const result = await clientWith().post(request);
    expect(result).toMatchObject({
      kind: 'failed',
      error,
      message: expect.stringMatching(message),
    });
  });

  it('is said for a name that does not exist', async () => {
    const result = await post(clientWith(), 443, undefined, 'no-such-name.invalid');
    const message = expect.stringMatching(/^Name not found: no-such-name\.invalid/);
    expect(result).toMatchObject({ kind: 'failed', error: 'dns', message });
  });
});

describe('the certificates of a webhook', () => {
  it('prove who sends, and each webhook has connections of its own', async () => {
    const [one, two] = [await authority.issue(), await authority.issue()];
    const target = await receiver({
      ...good,
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const client = clientWith();
    const materials = [one, two, one, two].map(({ cert, key }) => ({
      certificate: cert,
      privateKey: key,
      ca: authority.cert,
    }));
    for (const material of materials) expect(await post(client, target.port, material)).toEqual(OK);
    const names = target.seen.map((request) => request.client);
    expect(names[0]).toBeDefined();
    expect([names[2], names[3]]).toEqual([names[0], names[1]]);
    expect(names[1]).not.toBe(names[0]);
    const sockets = target.seen.map((request) => request.socket);
    expect([sockets[2] === sockets[0], sockets[3] === sockets[1]]).toEqual([true, true]);
    expect(sockets[0]).not.toBe(sockets[1]);
    // Not over a kept connection, and not by a session that is resumed.
    expect(await post(client, target.port, { ca: authority.cert })).toHaveProperty(
      'kind',
      'failed',
    );
  });

  it('say whom to trust, instead of all others', async () => {
    const [own, foreign] = [await receiver(good), await receiver(await other.issue())];
    const client = clientWith({ OUTBOUND_CA: other.cert });
    expect(await post(client, own.port, { ca: authority.cert })).toEqual(OK);
    expect(await post(client, own.port)).toMatchObject({ error: 'tls' });
    expect(await post(client, foreign.port, { ca: authority.cert })).toMatchObject({
      error: 'tls',
    });
    expect(await post(client, foreign.port)).toEqual(OK);
    // A connection that one may use is open; the other must not use it.
    expect(await post(client, own.port, { ca: other.cert })).toMatchObject({ error: 'tls' });
  });

  it('may be a client certificate beside the authorities of the installation', async () => {
    const target = await receiver({ ...good, ca: other.cert, requestCert: true });
    const { cert, key } = await other.issue();
    const client = clientWith({ OUTBOUND_CA: authority.cert });
    const result = await post(client, target.port, { certificate: cert, privateKey: key });
    expect(result).toEqual(OK);
    expect(target.seen[0]?.client).toBeDefined();
  });
});
