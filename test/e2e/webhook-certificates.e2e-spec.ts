import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem } from '../support/bodies.js';
import { type CertificateAndKey, CertificateAuthority } from '../support/certificate-authority.js';
import { TEST_CERT, TEST_KEY } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

let authority: CertificateAuthority;
let client: CertificateAndKey;
let server: Server;
let origin: string;
/** The subjects of the client certificates, in the order of the requests. */
let senders: string[];
let world: World;
let app: RunningApp;

beforeAll(async () => {
  authority = await CertificateAuthority.create();
  client = await authority.issue();
  senders = [];
  const options = { ca: authority.cert, requestCert: true, rejectUnauthorized: true };
  server = createServer({ ...(await authority.issue()), ...options }, (request, response) => {
    const { fingerprint256 } = (request.socket as TLSSocket).getPeerCertificate();
    senders.push(fingerprint256);
    request.resume().on('end', () => response.end('ok'));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  world = await World.create();
  app = await world.start();
});

afterAll(async () => {
  await world.stop();
  server.closeAllConnections();
  server.close();
  await authority.remove();
});

const pair = ({ cert, key }: CertificateAndKey) => ({ certificate: cert, privateKey: key });

describe('the certificates of a webhook', () => {
  it('are used for its requests, and the private key is never shown', async () => {
    const { api } = forNewOwner(app);
    const tls = { ...pair(client), ca: authority.cert };
    const webhook = await api.webhook(`${origin}/hook`, ['mtls.*'], { tls });
    expect(webhook.tls).toMatchObject({
      certificate: {
        subject: expect.stringMatching(/^CN=/),
        fingerprint: expect.stringMatching(/^[\dA-F:]{95}$/),
      },
      ca: [{ subject: 'CN=Test Authority', issuer: 'CN=Test Authority' }],
    });
    await api.publish({ type: 'mtls.sent' });
    await eventually(() => expect(senders).toHaveLength(1));
    const { fingerprint } = (webhook.tls as { certificate: { fingerprint: string } }).certificate;
    expect(senders).toEqual([fingerprint]);
    const shown = JSON.stringify([webhook, await api.get(`/webhooks/${webhook.id}`)]);
    expect(shown).not.toContain('PRIVATE KEY');
    const source = app.app.get(DataSource);
    const rows = await source.query<object[]>(`SELECT * FROM webhooks WHERE id = $1`, [webhook.id]);
    expect(rows).toHaveLength(1);
    const keyBody = client.key.split('\n')[1]!;
    expect(JSON.stringify(rows)).not.toContain('PRIVATE KEY');
    expect(JSON.stringify(rows)).not.toContain(keyBody);
  });

  it('are changed one by one, and removed', async () => {
    const { api } = forNewOwner(app);
    const path = (id: string) => `/webhooks/${id}`;
    const { id } = await api.webhook(`${origin}/hook`, ['x'], { tls: { ca: authority.cert } });
    const added = await api.patch(path(id), { tls: pair(client) });
    expect(added.tls).toMatchObject({ certificate: expect.any(Object), ca: [expect.any(Object)] });
    const tested = await api.post(`${path(id)}/test`, {}, 200);
    expect(tested).toMatchObject({ delivered: true });
    const lost = await api.patch(path(id), { tls: { certificate: null, privateKey: null } });
    expect(lost.tls).toMatchObject({ certificate: null, ca: [expect.any(Object)] });
    expect(await api.post(`${path(id)}/test`, {}, 200)).toMatchObject({ delivered: false });
    expect((await api.patch(path(id), { name: 'another' })).tls).toEqual(lost.tls);
    expect((await api.patch(path(id), { tls: null })).tls).toBeNull();
    const unknown = await api.post(`${path(id)}/test`, {}, 200);
    expect(unknown).toMatchObject({
      delivered: false,
      attempt: { error: 'tls', errorMessage: expect.stringMatching(/unknown issuer/) },
    });
  });

  it('are refused by name when they cannot be used', async () => {
    const { api } = forNewOwner(app);
    const other = await authority.issue();
    const expired = await authority.issue({ from: -10, until: -1 });
    const future = await authority.issue({ from: 3 });
    const weak = await authority.issue({ algorithm: ['RSA', '-pkeyopt', 'rsa_keygen_bits:1024'] });
    const encrypted = await authority.encrypted(client.key);
    const body = client.cert.split('\n').slice(1, -2).join('\n');
    const cases: [field: string, words: RegExp, tls: object][] = [
      ['privateKey', /required/, { certificate: client.cert }],
      ['certificate', /required/, { privateKey: client.key }],
      ['privateKey', /does not belong/, { certificate: client.cert, privateKey: other.key }],
      ['certificate', /has expired: CN=leaf-\d+ was valid until \d{4}-/, pair(expired)],
      ['certificate', /not valid yet/, pair(future)],
      ['privateKey', /2048 bits/, pair(weak)],
      ['privateKey', /passphrase/, { certificate: client.cert, privateKey: encrypted }],
      ['privateKey', /PEM/, { certificate: client.cert, privateKey: 'secret' }],
      [
        'privateKey',
        /not a valid/,
        { certificate: client.cert, privateKey: client.key.replace(/M/g, 'N') },
      ],
      ['certificate', /nothing else/, { ...pair(client), certificate: client.cert + client.key }],
      ['certificate', /PEM/, { ...pair(client), certificate: body }],
      [
        'certificate',
        /cannot be parsed/,
        { ...pair(client), certificate: client.cert.replace(/M/g, 'N') },
      ],
      ['ca', /PEM/, { ca: 'all of them' }],
      ['ca', /has expired/, { ca: expired.cert }],
      ['ca', /at most 20/, { ca: authority.cert.repeat(21) }],
    ];
    const webhook = await api.webhook(`${origin}/hook`, ['x']);
    for (const [field, words, tls] of cases) {
      const create = { url: `${origin}/hook`, events: ['x'], tls };
      for (const answer of [
        await api.request('POST', '/webhooks', create),
        await api.request('PATCH', `/webhooks/${webhook.id}`, { tls }),
      ]) {
        expectProblem(answer, 422, `tls.${field}`);
        expect(answer.body.errors[0]?.message).toMatch(words);
        expect(JSON.stringify(answer.body)).not.toContain('PRIVATE KEY-----\n');
      }
    }
    expect((await api.get(`/webhooks/${webhook.id}`)).tls).toBeNull();
    // A key of another form of the same certificate, and a self-signed one.
    await api.patch(`/webhooks/${webhook.id}`, {
      tls: { certificate: TEST_CERT, privateKey: TEST_KEY, ca: TEST_CERT },
    });
  });

  it('do not reach what another owner sends', async () => {
    const [one, two] = [forNewOwner(app).api, forNewOwner(app).api];
    const tls = { ...pair(client), ca: authority.cert };
    const { id } = await one.webhook(`${origin}/hook`, ['x'], { tls });
    expect(await one.post(`/webhooks/${id}/test`, {}, 200)).toMatchObject({ delivered: true });
    // The connection of the first is open and proves who it is: the second must not use it.
    const bare = await two.webhook(`${origin}/hook`, ['x'], { tls: { ca: authority.cert } });
    const answer = await two.post(`/webhooks/${bare.id}/test`, {}, 200);
    expect(answer).toMatchObject({ delivered: false });
  });
});
