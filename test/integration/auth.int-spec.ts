import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { request } from 'node:http';
import jwt from 'jsonwebtoken';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signDevelopmentToken } from '../../src/auth/development-token.js';
import { JwtStrategy } from '../../src/auth/jwt.strategy.js';
import { type AuthApp, bearer, configWith, seconds, startAuthApp } from '../support/auth-app.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

const SECRET = 'a-secret-that-is-long-enough-for-hs256';
const issuer = 'https://issuer.example';
const audience = 'tidings';
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();

const base64url = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const claims = (overrides: object = {}) => ({
  sub: 'acme',
  roles: ['publisher'],
  iss: issuer,
  aud: audience,
  exp: seconds() + 60,
  ...overrides,
});

type Signer = (input: string) => Buffer;
const hmac =
  (key: string, hash = 'sha256'): Signer =>
  (input) =>
    createHmac(hash, key).update(input).digest();
const rs256 =
  (key: KeyObject): Signer =>
  (input) =>
    sign('sha256', Buffer.from(input), key);
const unsigned: Signer = () => Buffer.alloc(0);

/** A token with any header and payload (text is taken as it is), signed in any way. */
function forge(signer: Signer, header: unknown, payload: unknown = claims()): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${signer(input).toString('base64url')}`;
}

let database: TestDatabase;
let app: AuthApp;
const started: AuthApp[] = [];

async function start(env: Record<string, string>): Promise<AuthApp> {
  const next = await startAuthApp(database.url, env);
  started.push(next);
  return next;
}

beforeAll(async () => {
  database = await createEmptyDatabase();
});

afterAll(async () => {
  for (const each of started) await each.close();
  await database?.drop();
});

const good = { alg: 'HS256', typ: 'JWT' };
const withoutClaim = (name: string) => JSON.stringify(claims({ [name]: undefined }));

/** Refused by a verifier of HS256 tokens under SECRET, whatever the signature says. */
const REFUSED: [name: string, token: () => string, code?: string][] = [
  ['unsigned tokens (none)', () => forge(unsigned, { alg: 'none' })],
  ['unsigned tokens (None)', () => forge(unsigned, { alg: 'None' })],
  ['unsigned tokens (nOnE)', () => forge(unsigned, { alg: 'nOnE' })],
  ['tokens without a signature', () => forge(unsigned, good)],
  ['tokens without an algorithm', () => forge(hmac(SECRET), { typ: 'JWT' })],
  ['another HMAC (HS384)', () => forge(hmac(SECRET, 'sha384'), { alg: 'HS384' })],
  ['another HMAC (HS512)', () => forge(hmac(SECRET, 'sha512'), { alg: 'HS512' })],
  ['RSA tokens', () => forge(rs256(rsa.privateKey), { alg: 'RS256' })],
  ['another secret', () => forge(hmac(`${SECRET}x`), good)],
  ['an empty secret', () => forge(hmac(''), good)],
  ['a key id that is a path', () => forge(hmac(''), { ...good, kid: '../../../../dev/null' })],
  ['a key id that is SQL', () => forge(hmac('x'), { ...good, kid: "' UNION SELECT 'x' -- " })],
  ['a key id of 300 characters', () => forge(hmac(SECRET), { ...good, kid: 'k'.repeat(300) })],
  [
    'a key that came along (jwk)',
    () =>
      forge(rs256(otherRsa.privateKey), {
        alg: 'RS256',
        jwk: otherRsa.publicKey.export({ format: 'jwk' }),
      }),
  ],
  ['the address of a key (jku)', () => forge(hmac('x'), { ...good, jku: 'http://127.0.0.1/keys' })],
  [
    'the address of a certificate (x5u)',
    () => forge(hmac('x'), { ...good, x5u: 'http://127.0.0.1/c' }),
  ],
  ['a critical extension', () => forge(hmac(SECRET), { ...good, crit: ['exp'] })],
  ['an unencoded payload', () => forge(hmac(SECRET), { ...good, b64: false, crit: ['b64'] })],
  ['tokens of another type', () => forge(hmac(SECRET), { ...good, typ: 'logout+jwt' })],
  [
    'expired tokens',
    () => forge(hmac(SECRET), good, claims({ exp: seconds() - 60 })),
    'token_expired',
  ],
  [
    'tokens that are not valid yet',
    () => forge(hmac(SECRET), good, claims({ nbf: seconds() + 60 })),
  ],
  [
    'tokens that were issued in the future',
    () => forge(hmac(SECRET), good, claims({ iat: seconds() + 60 })),
  ],
  ['a begin that is text', () => forge(hmac(SECRET), good, claims({ nbf: '0' }))],
  ['tokens without an end', () => forge(hmac(SECRET), good, withoutClaim('exp'))],
  ['an end that is text', () => forge(hmac(SECRET), good, claims({ exp: String(seconds() + 60) }))],
  ['an end of 1e20', () => forge(hmac(SECRET), good, claims({ exp: 1e20 }))],
  [
    'an infinite end',
    () => forge(hmac(SECRET), good, withoutClaim('exp').replace('{', '{"exp":1e999,')),
  ],
  ['an end that is null', () => forge(hmac(SECRET), good, claims({ exp: null }))],
  [
    'another issuer',
    () => forge(hmac(SECRET), good, claims({ iss: 'https://issuer.example.evil' })),
  ],
  ['no issuer', () => forge(hmac(SECRET), good, withoutClaim('iss'))],
  ['a list of issuers', () => forge(hmac(SECRET), good, claims({ iss: [issuer] }))],
  ['another audience', () => forge(hmac(SECRET), good, claims({ aud: 'other' }))],
  ['no audience', () => forge(hmac(SECRET), good, withoutClaim('aud'))],
  ['a list of other audiences', () => forge(hmac(SECRET), good, claims({ aud: ['a', 'b'] }))],
  [
    'a list within a list of audiences',
    () => forge(hmac(SECRET), good, claims({ aud: [[audience]] })),
  ],
  ['refresh tokens', () => forge(hmac(SECRET), good, claims({ typ: 'Refresh' }))],
  ['id tokens', () => forge(hmac(SECRET), good, claims({ token_use: 'id' }))],
  ['tokens without a subject', () => forge(hmac(SECRET), good, withoutClaim('sub'))],
  ['a subject with a line break', () => forge(hmac(SECRET), good, claims({ sub: 'acme\n' }))],
  ['topics that are no patterns', () => forge(hmac(SECRET), good, claims({ topics: ['**'] }))],
  ['roles that are text', () => forge(hmac(SECRET), good, claims({ roles: 'admin' }))],
  [
    'a second, past end',
    () => forge(hmac(SECRET), good, withoutClaim('iat').replace(/}$/, `,"exp":${seconds() - 60}}`)),
    'token_expired',
  ],
  ['tokens over 8 KB', () => forge(hmac(SECRET), good, claims({ pad: 'x'.repeat(9_000) }))],
  ['padded tokens', () => `${forge(hmac(SECRET), good)}=`],
  ['claims that are a list', () => forge(hmac(SECRET), good, [claims()])],
  ['claims that are null', () => forge(hmac(SECRET), good, null)],
  [
    'claims that are null, in a token without a type',
    () => forge(hmac(SECRET), { alg: 'HS256' }, null),
  ],
  ['claims that are a number', () => forge(hmac(SECRET), good, 7)],
  ['claims that are a text', () => forge(hmac(SECRET), good, '"acme"')],
  ['claims that are true', () => forge(hmac(SECRET), good, true)],
  ['claims that are no JSON', () => forge(hmac(SECRET), good, '{"sub":')],
  [
    'a flipped bit in the claims',
    () => forge(hmac(SECRET), good).replace(/\.(.)/, (_, c: string) => `.${c === 'e' ? 'f' : 'e'}`),
  ],
  ['two parts', () => forge(hmac(SECRET), good).replace(/\.[^.]*$/, '')],
  ['four parts', () => `${forge(hmac(SECRET), good)}.x`],
  ['something else', () => 'hello'],
];

describe('tokens under a shared secret', () => {
  beforeAll(async () => {
    app = await start({ JWT_SECRET: SECRET, JWT_ISSUER: issuer, JWT_AUDIENCE: audience });
  });

  it.each(REFUSED)('refuses %s', async (_, token, code = 'invalid_token') => {
    const answer = await app.call('GET', 'me', bearer(token()));
    expect(answer).toMatchObject({ status: 401, body: { code } });
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    await expect(app.authenticator.authenticate(bearer(token()))).rejects.toMatchObject({ code });
  });

  it.each([
    ['plain tokens', () => forge(hmac(SECRET), good)],
    ['tokens of the library', () => jwt.sign(claims(), SECRET)],
    ['tokens without a type', () => forge(hmac(SECRET), { alg: 'HS256' })],
    ['access tokens by their type', () => forge(hmac(SECRET), { ...good, typ: 'at+jwt' })],
    [
      'a list with the audience in it',
      () => forge(hmac(SECRET), good, claims({ aud: ['other', audience] })),
    ],
    [
      'an end 20 s ago, for clocks differ',
      () => forge(hmac(SECRET), good, claims({ exp: seconds() - 20 })),
    ],
    [
      'a begin in 25 s, for clocks differ',
      () => forge(hmac(SECRET), good, claims({ nbf: seconds() + 25 })),
    ],
    [
      'an issue in 25 s, for clocks differ',
      () => forge(hmac(SECRET), good, claims({ iat: seconds() + 25 })),
    ],
    [
      'times with fractions',
      () =>
        forge(
          hmac(SECRET),
          good,
          claims({ exp: seconds() + 60.5, nbf: seconds() - 0.25, iat: seconds() - 0.125 }),
        ),
    ],
    [
      'addresses of keys, unread',
      () => forge(hmac(SECRET), { ...good, jku: 'http://127.0.0.1:1/' }),
    ],
    ['a key id, unread', () => forge(hmac(SECRET), { ...good, kid: '../../etc/passwd' })],
  ])('takes %s', async (_, token) => {
    const answer = await app.call('GET', 'me', bearer(token()));
    expect(answer).toMatchObject({ status: 200, body: { ownerId: 'acme', roles: ['publisher'] } });
  });

  it('takes the last of two claims of one name, like every reader of JSON', async () => {
    const payload = JSON.stringify(claims()).replace(/}$/, ',"sub":"second"}');
    const { body } = await app.call('GET', 'me', bearer(forge(hmac(SECRET), good, payload)));
    expect(body).toMatchObject({ ownerId: 'second' });
  });

  it('does not look at more of a token than 8 KB', async () => {
    const token = forge(hmac(SECRET), good, claims({ pad: 'x'.repeat(100_000) }));
    await expect(app.authenticator.authenticate(bearer(token))).rejects.toMatchObject({
      code: 'invalid_token',
    });
  });

  it('refuses a token as soon as it ends, although it was verified before', async () => {
    const token = forge(hmac(SECRET), good, claims({ exp: seconds() - 27 }));
    expect(await app.call('GET', 'me', bearer(token))).toMatchObject({ status: 200 });
    await expect
      .poll(async () => (await app.call('GET', 'me', bearer(token))).body, { timeout: 10_000 })
      .toMatchObject({ code: 'token_expired' });
  });

  it.each([
    ['nothing', {}, 'missing_credentials'],
    ['an empty header', { authorization: '' }, 'missing_credentials'],
    ['another scheme', { authorization: 'Basic YWNtZTphY21l' }, 'invalid_token'],
    ['a scheme alone', { authorization: 'Bearer' }, 'invalid_token'],
    ['two tokens in one header', { authorization: 'Bearer a.b.c, Bearer d.e.f' }, 'invalid_token'],
  ])('answers 401 to %s', async (_, headers, code) => {
    const answer = await app.call('GET', 'me', headers);
    expect(answer).toMatchObject({ status: 401, body: { code } });
  });

  it.each([
    ['two Authorization headers', ['Authorization', 'Bearer x', 'Authorization', '']],
    ['a token and a key', ['Authorization', 'Bearer x', 'X-API-Key', 'y']],
  ])('answers 401 to %s, even if one is good', async (_, headers) => {
    const token = `Bearer ${forge(hmac(SECRET), good)}`;
    const raw = headers.map((text) => (text === 'Bearer x' ? token : text));
    expect(await rawStatus(`${app.url}/me`, ['Host', 'localhost', ...raw])).toBe(401);
    expect(await rawStatus(`${app.url}/me`, ['Host', 'localhost', 'Authorization', token])).toBe(
      200,
    );
  });

  it('takes no token from the query', async () => {
    const token = forge(hmac(SECRET), good);
    const answer = await app.call('GET', `me?token=${token}&access_token=${token}`);
    expect(answer.status).toBe(401);
  });

  it('takes the token that development prints', async () => {
    const token = signDevelopmentToken({ issuer, audience }, SECRET, Date.now());
    expect(await app.call('GET', 'admin', bearer(token))).toMatchObject({ status: 200 });
  });

  it('verifies with its own secret although another application runs in the process', async () => {
    const other = await start({ JWT_SECRET: 'the-secret-of-another-application' });
    const token = forge(hmac('the-secret-of-another-application'), good);
    expect(await other.call('GET', 'me', bearer(token))).toMatchObject({ status: 200 });
    expect(await app.call('GET', 'me', bearer(token))).toMatchObject({ status: 401 });
    expect(await app.call('GET', 'me', bearer(forge(hmac(SECRET), good)))).toMatchObject({
      status: 200,
    });
  });
});

describe('roles', () => {
  const as = (roles?: string[]) => bearer(jwt.sign(claims({ roles }), SECRET));

  it.each([
    ['every caller into a public route', 'GET', 'open', undefined, 200],
    [
      'no anonymous caller into a public route that asks who calls',
      'GET',
      'forgotten',
      undefined,
      401,
    ],
    ['a publisher where publishers may', 'POST', 'publish', ['publisher'], 201],
    ['an admin where publishers may', 'POST', 'publish', ['admin'], 201],
    ['an admin where admins may', 'GET', 'admin', ['admin'], 200],
    ['a producer where publishers may', 'POST', 'publish', ['producer'], 201],
    ['no producer to read', 'GET', 'me', ['producer'], 403],
    ['no unknown role to read', 'GET', 'me', ['root'], 403],
    ['no token with an empty list of roles to read', 'GET', 'me', [], 403],
    [
      'no admin into a route that does not say who may call it',
      'GET',
      'undeclared',
      ['admin'],
      403,
    ],
    ['no subscriber where publishers may', 'POST', 'publish', ['subscriber'], 403],
    ['no token without roles where publishers may', 'POST', 'publish', [], 403],
    ['no unknown role where publishers may', 'POST', 'publish', ['Publisher', 'root'], 403],
    ['no publisher where admins may', 'GET', 'admin', ['publisher', 'subscriber'], 403],
    ['no anonymous caller where admins may', 'GET', 'admin', undefined, 401],
  ])('lets %s', async (_, method, path, roles, status) => {
    expect(await app.call(method, path, roles && as(roles))).toMatchObject({ status });
  });
});

describe('tokens without the claim roles', () => {
  const without = () => bearer(jwt.sign({ ...claims(), roles: undefined }, SECRET));

  it('have those of a tenant', async () => {
    app = await start({ JWT_SECRET: SECRET });
    const { body } = await app.call('GET', 'me', without());
    expect(body).toMatchObject({ roles: ['manager', 'publisher', 'subscriber'] });
  });

  it('have those of JWT_DEFAULT_ROLES', async () => {
    app = await start({ JWT_SECRET: SECRET, JWT_DEFAULT_ROLES: 'subscriber, operator' });
    const { body } = await app.call('GET', 'me', without());
    expect(body).toMatchObject({ roles: ['operator', 'subscriber'] });
  });

  it.each(['root', 'manager,root', 'Manager'])('cannot have the role %s', (JWT_DEFAULT_ROLES) => {
    expect(() => configWith({ JWT_SECRET: SECRET, JWT_DEFAULT_ROLES })).toThrow(
      'JWT_DEFAULT_ROLES',
    );
  });
});

describe('tokens under a public key', () => {
  beforeAll(async () => {
    app = await start({ JWT_PUBLIC_KEY: pem(rsa.publicKey) });
  });

  it.each(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const)(
    'takes %s',
    async (algorithm) => {
      const token = jwt.sign(claims(), rsa.privateKey, { algorithm });
      expect(await app.call('GET', 'me', bearer(token))).toMatchObject({ status: 200 });
    },
  );

  it.each([
    ['HS256 under the text of the public key', () => forge(hmac(pem(rsa.publicKey)), good)],
    ['the same without the last line break', () => forge(hmac(pem(rsa.publicKey).trim()), good)],
    [
      'HS512 under the text of the public key',
      () => forge(hmac(pem(rsa.publicKey), 'sha512'), { alg: 'HS512' }),
    ],
    ['another key', () => jwt.sign(claims(), otherRsa.privateKey, { algorithm: 'RS256' })],
    [
      'a key that came along',
      () =>
        forge(rs256(otherRsa.privateKey), {
          alg: 'RS256',
          jwk: otherRsa.publicKey.export({ format: 'jwk' }),
        }),
    ],
    [
      'an algorithm of another kind of key',
      () => jwt.sign(claims(), p256.privateKey, { algorithm: 'ES256' }),
    ],
    ['unsigned tokens', () => forge(unsigned, { alg: 'none' })],
    [
      'a signature that is written otherwise',
      () => otherSpelling(jwt.sign(claims(), rsa.privateKey, { algorithm: 'RS256' })),
    ],
  ])('refuses %s', async (_, token) => {
    expect(await app.call('GET', 'me', bearer(token()))).toMatchObject({
      status: 401,
      body: { code: 'invalid_token' },
    });
  });

  it('takes the algorithm of the curve and no other', async () => {
    const curve = await start({ JWT_PUBLIC_KEY: pem(p256.publicKey) });
    const token = jwt.sign(claims(), p256.privateKey, { algorithm: 'ES256' });
    expect(await curve.call('GET', 'me', bearer(token))).toMatchObject({ status: 200 });
    const rsaToken = jwt.sign(claims(), rsa.privateKey, { algorithm: 'RS256' });
    expect(await curve.call('GET', 'me', bearer(rsaToken))).toMatchObject({ status: 401 });
  });

  it('cannot be checked with every kind of key', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const strategyWith = (key: typeof publicKey) =>
      new JwtStrategy(configWith({ JWT_PUBLIC_KEY: pem(key) }), undefined as never);
    expect(() => strategyWith(publicKey)).toThrow('JWT_PUBLIC_KEY');
    expect(() => strategyWith(rsa.publicKey)).not.toThrow();
  });
});

/** The last of 342 characters carries four bits that are not part of the signature. */
function otherSpelling(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1)!) ^ 1];
}

function rawStatus(url: string, headers: string[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request(url, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.on('error', reject).end();
  });
}
