import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '../../src/shared/app-error.js';
import { type AuthApp, bearer, seconds, startAuthApp } from '../support/auth-app.js';
import { propertyRuns } from '../support/property-runs.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

const SECRET = 'a-secret-that-is-long-enough-for-hs256';

let database: TestDatabase;
let app: AuthApp;

beforeAll(async () => {
  database = await createEmptyDatabase();
  app = await startAuthApp(database.url, { JWT_SECRET: SECRET });
});
afterAll(async () => {
  await app?.close();
  await database?.drop();
});

const encoded = (text: string) => Buffer.from(text).toString('base64url');

/** Correctly signed, whatever the two JSON texts are. */
function signed(header: string, payload: string): string {
  const input = `${encoded(header)}.${encoded(payload)}`;
  return `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`;
}

/** Values of every type and size, as JSON texts: some cannot be made by `JSON.stringify`. */
const odd = fc.oneof(
  fc.json({ maxDepth: 3 }),
  fc.constantFrom(
    'null',
    'true',
    '7',
    '-1',
    '1e999',
    '1e-999',
    '-0',
    '""',
    '"acme"',
    '[]',
    '[[]]',
    '{}',
    '[null]',
    '{"toString":1}',
    '{"__proto__":null}',
    '{"constructor":{"prototype":1}}',
    `"${'x'.repeat(2_000)}"`,
    `[${'0,'.repeat(1_000)}0]`,
    `${'['.repeat(1_500)}${']'.repeat(1_500)}`,
    `${'{"a":'.repeat(500)}1${'}'.repeat(500)}`,
    '"\\ud800"',
    '"\\u0000"',
  ),
);

const CLAIMS = [
  'sub',
  'exp',
  'nbf',
  'iat',
  'roles',
  'topics',
  'typ',
  'token_use',
  'token_type',
  'iss',
  'aud',
  'jti',
];
const HEADERS = ['alg', 'typ', 'kid', 'crit', 'b64', 'zip', 'cty', 'jku', 'jwk', 'x5c', 'enc'];

/** An object of good members, some of which are replaced, and odd ones among them. */
const mutated = (good: Record<string, unknown>, names: readonly string[]) =>
  fc.array(fc.tuple(fc.constantFrom(...names), odd), { maxLength: 3 }).map((changes) => {
    const members = new Map(Object.entries(good).map(([k, v]) => [k, JSON.stringify(v)]));
    for (const [name, value] of changes) members.set(name, value);
    return `{${[...members].map(([name, value]) => `"${name}":${value}`).join(',')}}`;
  });

const header = fc.oneof(odd, mutated({ alg: 'HS256', typ: 'JWT' }, HEADERS));
const payload = fc.oneof(
  odd,
  mutated({ sub: 'acme', exp: seconds() + 3_600, roles: ['subscriber'] }, CLAIMS),
);
/** Mostly one part is good, so that the other one is reached. */
const token = fc.oneof(
  fc.tuple(header, payload),
  fc.tuple(fc.constantFrom('{"alg":"HS256","typ":"JWT"}', '{"alg":"HS256"}'), payload),
);

describe('any token under the right key', () => {
  it('is accepted, or refused as a token', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(token, async ([head, claims]) => {
        try {
          const principal = await app.authenticator.authenticate(bearer(signed(head, claims)));
          accepted++;
          expect(typeof principal.ownerId).toBe('string');
          expect(principal.expiresAtMs).toBeGreaterThan(Date.now());
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          expect(error).toMatchObject({ kind: 'unauthenticated' });
        }
      }),
      { numRuns: propertyRuns(5_000), endOnFailure: true },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  it('gets 200, 401 or 403 over HTTP, and the application goes on', async () => {
    await fc.assert(
      fc.asyncProperty(token, async ([head, claims]) => {
        const { status } = await app.call('GET', 'me', bearer(signed(head, claims)));
        expect([200, 401, 403]).toContain(status);
      }),
      { numRuns: propertyRuns(500), endOnFailure: true },
    );
    expect(await app.call('GET', 'open')).toMatchObject({ status: 200 });
  });

  it('is refused for any text that is none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (text) => {
        await expect(
          app.authenticator.authenticate({ authorization: `Bearer ${text}` }),
        ).rejects.toMatchObject({ kind: 'unauthenticated' });
      }),
      { numRuns: propertyRuns(2_000) },
    );
  });
});
