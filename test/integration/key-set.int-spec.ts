import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import jwt, { type Algorithm } from 'jsonwebtoken';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { KeySetClient, type KeySetTimes } from '../../src/auth/key-set.client.js';
import { UnavailableError } from '../../src/shared/app-error.js';
import { type AuthApp, bearer, seconds, startAuthApp } from '../support/auth-app.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rotated = generateKeyPairSync('rsa', { modulusLength: 2048 });
const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const jwk = (key: KeyObject, kid: string, more: object = {}) => ({
  ...key.export({ format: 'jwk' }),
  kid,
  use: 'sig',
  ...more,
});
const tokenOf = (key: KeyObject, keyid?: string, algorithm: Algorithm = 'RS256', sub = 'acme') =>
  jwt.sign({ sub, exp: seconds() + 60 }, key, { algorithm, ...(keyid && { keyid }) });

/** The issuer: says what a test wants it to say, and counts how often it was asked. */
class Issuer {
  hits = 0;
  answer: (response: ServerResponse) => void = () => undefined;
  readonly #server: Server = createServer((_, response) => {
    this.hits++;
    this.answer(response);
  });

  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/jwks.json`;
  }

  serves(...keys: object[]): void {
    this.answer = (response) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

let issuer: Issuer;
let url: string;

beforeEach(async () => {
  issuer = new Issuer();
  url = await issuer.listen();
});
afterEach(() => issuer.close());

describe('tokens under a key set', () => {
  let database: TestDatabase;
  let app: AuthApp;

  beforeAll(async () => {
    database = await createEmptyDatabase();
  });
  beforeEach(async () => {
    issuer.serves(jwk(rsa.publicKey, 'rsa'), jwk(curve.publicKey, 'curve', { alg: 'ES256' }));
    app = await startAuthApp(database.url, { JWT_JWKS_URL: url });
  });
  afterEach(() => app.close());
  afterAll(() => database?.drop());

  it('takes tokens of every key with one fetch', async () => {
    const tokens = [tokenOf(rsa.privateKey, 'rsa'), tokenOf(curve.privateKey, 'curve', 'ES256')];
    for (const token of tokens) {
      expect(await app.call('GET', 'me', bearer(token))).toMatchObject({ status: 200 });
    }
    expect(issuer.hits).toBe(1);
  });

  it.each([
    ['a key id that the set lacks', () => tokenOf(rsa.privateKey, 'other')],
    ['a key id that is a path', () => tokenOf(rsa.privateKey, '../../dev/null')],
    ['no key id where there are two keys', () => tokenOf(rsa.privateKey)],
    ['the id of another key', () => tokenOf(rsa.privateKey, 'curve')],
    [
      'a key that came along',
      () =>
        jwt.sign({ sub: 'acme', exp: seconds() + 60 }, rotated.privateKey, {
          algorithm: 'RS256',
          keyid: 'rsa',
          header: {
            alg: 'RS256',
            jku: url,
            jwk: rotated.publicKey.export({ format: 'jwk' }),
          } as jwt.JwtHeader,
        }),
    ],
    [
      'a secret made of the public key',
      () =>
        jwt.sign(
          { sub: 'acme', exp: seconds() + 60 },
          Buffer.from(rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string),
          { keyid: 'rsa' },
        ),
    ],
  ])('refuses %s', async (_, token) => {
    expect(await app.call('GET', 'me', bearer(token()))).toMatchObject({
      status: 401,
      body: { code: 'invalid_token' },
    });
  });

  it('does not ask the issuer for tokens that could never be good', async () => {
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`;
    const secret = jwt.sign({ sub: 'acme', exp: seconds() + 60 }, 'x'.repeat(32), { keyid: 'rsa' });
    for (const token of [unsigned, secret, 'hello']) await app.call('GET', 'me', bearer(token));
    expect(issuer.hits).toBe(0);
  });

  it('asks the issuer once for a flood of made-up key ids, and serves the known meanwhile', async () => {
    expect(await app.call('GET', 'me', bearer(tokenOf(rsa.privateKey, 'rsa')))).toMatchObject({
      status: 200,
    });
    const flood = Array.from({ length: 50 }, (_, i) =>
      app.call('GET', 'me', bearer(tokenOf(rsa.privateKey, `made-up-${i}`))),
    );
    expect(new Set((await Promise.all(flood)).map(({ status }) => status))).toEqual(new Set([401]));
    expect(
      await app.call('GET', 'me', bearer(tokenOf(curve.privateKey, 'curve', 'ES256'))),
    ).toMatchObject({ status: 200 });
    expect(issuer.hits).toBeLessThanOrEqual(2);
  });

  it('distinguishes callers that wait for the same fetch', async () => {
    const owners = Array.from({ length: 20 }, (_, i) => `owner-${i}`);
    const answers = await Promise.all(
      owners.map((sub) =>
        app.call('GET', 'me', bearer(tokenOf(rsa.privateKey, 'rsa', 'RS256', sub))),
      ),
    );
    expect(answers.map(({ body }) => body['ownerId'])).toEqual(owners);
    expect(issuer.hits).toBe(1);
  });

  it('answers 503 while the issuer is down, and knows the keys that it has fetched before', async () => {
    expect(await app.call('GET', 'me', bearer(tokenOf(rsa.privateKey, 'rsa')))).toMatchObject({
      status: 200,
    });
    await issuer.close();
    expect(
      await app.call('GET', 'me', bearer(tokenOf(rsa.privateKey, 'rsa', 'RS256', 'b'))),
    ).toMatchObject({ status: 200 });
    const fresh = await startAuthApp(database.url, { JWT_JWKS_URL: url });
    try {
      const answer = await fresh.call('GET', 'me', bearer(tokenOf(rsa.privateKey, 'rsa')));
      expect(answer).toMatchObject({ status: 503, body: { code: 'temporarily_unavailable' } });
    } finally {
      await fresh.close();
    }
  });
});

describe(KeySetClient, () => {
  const client = (times: Partial<KeySetTimes> = {}) =>
    new KeySetClient(url, {
      coolDownMs: 0,
      refreshAfterMs: 1e9,
      maxAgeMs: 1e9,
      timeoutMs: 5_000,
      ...times,
    });

  it('finds a key that was added', async () => {
    const keys = client();
    issuer.serves(jwk(rsa.publicKey, 'old'));
    expect(await keys.find('old')).toBeDefined();
    issuer.serves(jwk(rsa.publicKey, 'old'), jwk(rotated.publicKey, 'new'));
    expect(await keys.find('new')).toBeDefined();
  });

  it('forgets a key that was withdrawn once the copy is old, without a wait', async () => {
    const keys = client({ refreshAfterMs: 0 });
    issuer.serves(jwk(rsa.publicKey, 'old'));
    expect(await keys.find('old')).toBeDefined();
    issuer.serves(jwk(rotated.publicKey, 'new'));
    expect(await keys.find('old')).toBeDefined();
    await expect.poll(() => keys.find('old')).toBeUndefined();
  });

  it('serves an old copy while the issuer is down, but no copy that is too old', async () => {
    const patient = client({ refreshAfterMs: 0 });
    const strict = client({ maxAgeMs: 0 });
    issuer.serves(jwk(rsa.publicKey, 'old'));
    await patient.find('old');
    await strict.find('old');
    await issuer.close();
    expect(await patient.find('old')).toBeDefined();
    await expect(strict.find('old')).rejects.toBeInstanceOf(UnavailableError);
  });

  it('comes back when the issuer does', async () => {
    const keys = client();
    const { port } = new URL(url);
    await issuer.close();
    await expect(keys.find('old')).rejects.toBeInstanceOf(UnavailableError);
    issuer = new Issuer();
    issuer.serves(jwk(rsa.publicKey, 'old'));
    await issuer.listen(Number(port));
    expect(await keys.find('old')).toBeDefined();
  });

  it('does not ask an issuer that failed again before the cool-down', async () => {
    const keys = client({ coolDownMs: 1e9 });
    issuer.answer = (response) => response.writeHead(500).end();
    for (let i = 0; i < 5; i++) {
      await expect(keys.find('old')).rejects.toBeInstanceOf(UnavailableError);
    }
    expect(issuer.hits).toBe(1);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['is an error', (response) => response.writeHead(500).end('{"keys":[]}')],
    ['is a redirect', (response) => response.writeHead(302, { location: '/elsewhere' }).end()],
    ['is no JSON', (response) => response.end('<html>')],
    ['is null', (response) => response.end('null')],
    ['is a list', (response) => response.end('[{"keys":[]}]')],
    ['is a number', (response) => response.end('7')],
    ['has null for keys', (response) => response.end('{"keys":null}')],
    ['has text for keys', (response) => response.end('{"keys":"RSA"}')],
    ['has a list of null and numbers', (response) => response.end('{"keys":[null,7,[],""]}')],
    ['is deeply nested', (response) => response.end('['.repeat(200_000))],
    ['has no keys', (response) => response.end('{"keys":[]}')],
    [
      'has keys that are none',
      (response) => response.end('{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"old"}]}'),
    ],
    [
      'never ends',
      (response) => {
        const more = () => response.write('x'.repeat(65_536), more);
        more();
      },
    ],
    ['breaks off', (response) => response.write('{"keys":', () => response.destroy())],
  ])('is unavailable if the answer %s', async (_, answer) => {
    issuer.answer = answer;
    await expect(client().find('old')).rejects.toBeInstanceOf(UnavailableError);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['never comes', () => undefined],
    ['stops in the middle', (response) => response.write('{"keys":[')],
  ])('is unavailable if the answer %s', async (_, answer) => {
    issuer.answer = answer;
    await expect(client({ timeoutMs: 100 }).find('old')).rejects.toBeInstanceOf(UnavailableError);
  });

  it('uses the keys among entries that are none', async () => {
    const good = JSON.stringify(jwk(rsa.publicKey, 'good'));
    issuer.answer = (response) =>
      response.end(`{"keys":[null,7,{"kty":"RSA","n":7,"e":[],"kid":{},"alg":null},{},${good}]}`);
    expect(await client().find('good')).toBeDefined();
  });

  it('lets a key verify what its kind and its own declaration allow', async () => {
    const keys = client();
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    issuer.serves(
      jwk(rsa.publicKey, 'any'),
      jwk(rsa.publicKey, 'declared', { alg: 'PS256' }),
      jwk(curve.publicKey, 'curve'),
      jwk(short, 'short'),
      jwk(rotated.publicKey, 'encryption', { use: 'enc' }),
    );
    expect((await keys.find('any'))?.algorithms).toContain('RS512');
    expect((await keys.find('declared'))?.algorithms).toEqual(['PS256']);
    expect((await keys.find('curve'))?.algorithms).toEqual(['ES256']);
    expect((await keys.find('short'))?.algorithms).toEqual([]);
    expect(await keys.find('encryption')).toBeUndefined();
  });

  it('takes the only key for a token that names none', async () => {
    issuer.serves(jwk(rsa.publicKey, 'only'));
    expect(await client().find(undefined)).toBeDefined();
  });
});
