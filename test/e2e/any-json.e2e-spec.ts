import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { type EventBody, expectProblem, read, type WebhookBody } from '../support/bodies.js';
import { pathOf, readDocument, type Route, routesOf } from '../support/documented-routes.js';
import { propertyRuns } from '../support/property-runs.js';
import { tokenFor } from '../support/tokens.js';
import { World } from '../support/world.js';

let world: World;
let api: ApiClient;
let webhook: WebhookBody;
let routes: Route[];

beforeAll(async () => {
  world = await World.create();
  api = (await world.start()).api.as(tokenFor('ann'));
  webhook = await read(api.webhook('https://example.com/', ['never.sent']));
  routes = routesOf(await readDocument(api)).filter(({ example }) => example !== undefined);
});
afterAll(() => world.stop());

/** Texts that have broken other systems: each was a name, comment or query once. */
const naughty = fc.constantFrom(
  '',
  ' ',
  '\u0000',
  '\ud800',
  '\udfff\ud800',
  '\ufeff',
  '\u202e',
  '\u2028',
  'undefined',
  'null',
  'NaN',
  '-1',
  '1e400',
  '0x10',
  '__proto__',
  'constructor',
  'toString',
  "'; DROP TABLE events; --",
  "' OR 1=1 --",
  '$1',
  '%00',
  '%s%n',
  '../../etc/passwd',
  '{{7*7}}',
  '${7*7}',
  '<script>alert(1)</script>',
  '\r\nset-cookie: a=b',
  '\\',
  '"',
  '田中さん',
  '👩‍👩‍👧‍👦',
  'Z̮̞̠͙͔ͅa̘̦l̴̲g̗o',
  '2038-01-19T03:14:08Z',
  'x'.repeat(70_000),
);
const text = fc.oneof(naughty, fc.string({ unit: 'binary' }));
const numbers = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(2 ** 53, -0, 5e-324, 1e308));

/** Any JSON value; `1e400` and the like come in as text below. */
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(text, numbers, fc.boolean(), fc.constant(null)),
    fc.array(tie('json'), { maxLength: 4 }),
    fc.dictionary(text, tie('json'), { maxKeys: 4 }),
  ),
}));

const FIELDS =
  'type data subject source timestamp ownerId priority ttlMs events url name description headers ' +
  'active timeoutMs retryPolicy secret overlapMs roles topics expiresAt tls certificate privateKey ca';

/** Objects with the names of real fields, and values of unexpected types. */
const nearly = fc.dictionary(fc.constantFrom(...FIELDS.split(' ')), json, { maxKeys: 6 });

/** A valid event with any data: what must be accepted, or refused for a reason. */
const event = fc.record({ type: fc.constant('any.json'), data: json });

const body = fc.oneof(
  json.map((value) => JSON.stringify(value)),
  nearly.map((value) => JSON.stringify(value)),
  nearly.map((value) => JSON.stringify(value).replace(/\d+/, '1e400')),
  fc.string({ unit: 'binary' }).map((value) => value.toWellFormed()),
  fc.json().map((value) => value.slice(0, -1)),
);

// Many requests on every route: it takes what it takes.
describe('any JSON', { timeout: 150_000, tags: ['properties'] }, () => {
  it('is accepted or refused by every route that takes a body, and never breaks it', async () => {
    for (const route of routes) {
      const path = pathOf(route, () => webhook.id);
      await fc.assert(
        fc.asyncProperty(body, async (sent) => {
          const answer = await api.request(route.method, path, sent);
          if (answer.status >= 300) {
            expect(answer.status).toBeLessThan(500);
            expectProblem(answer, answer.status);
          }
        }),
        { numRuns: propertyRuns(60) },
      );
    }
  });

  it('that is accepted as data is read back as it was given', async () => {
    await fc.assert(
      fc.asyncProperty(event, async (given) => {
        const sent = JSON.stringify(given);
        const answer = await api.request('POST', '/events', sent);
        if (answer.status !== 202) {
          const { errors } = expectProblem(answer, 422);
          expect(errors?.[0]?.field).toMatch(/^(data|__proto__)/);
          return;
        }
        const { id } = answer.body as unknown as EventBody;
        const { data } = await read<EventBody>(api.get(`/events/${id}`));
        // As text: equality does not distinguish -0 from 0, or one order of members from another.
        expect(JSON.stringify(data)).toBe(JSON.stringify((JSON.parse(sent) as typeof given).data));
      }),
      { numRuns: propertyRuns(200) },
    );
  });

  it('in a query is accepted or refused, and never breaks a list', async () => {
    const parameters = 'limit cursor type subject since until status webhookId reason active x';
    const query = fc.dictionary(fc.constantFrom(...parameters.split(' ')), text, { maxKeys: 3 });
    const path = fc.constantFrom('/events', '/webhooks', '/deliveries', '/dead-letters');
    await fc.assert(
      fc.asyncProperty(path, query, async (list, given) => {
        const short = new URLSearchParams();
        for (const [name, value] of Object.entries(given)) short.set(name, value.slice(0, 2000));
        const answer = await api.request('GET', `${list}?${short.toString()}`);
        if (answer.status !== 200) expectProblem(answer, 422);
      }),
      { numRuns: propertyRuns(150) },
    );
  });
});
