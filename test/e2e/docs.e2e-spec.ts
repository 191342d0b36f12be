import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type DeliveryBody, expectProblem, type PageBody, read } from '../support/bodies.js';
import {
  type ApiDocument,
  bodyOf,
  pathOf,
  readDocument,
  resolved,
  type Route,
  routesOf,
  type Schema,
} from '../support/documented-routes.js';
import { eventually } from '../support/eventually.js';
import { liveConnection } from '../support/live-connection.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let app: RunningApp;
let receiver: WebhookReceiver;
let document: ApiDocument;
let routes: Route[];

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  app = await world.start();
  document = await readDocument(app.api);
  routes = routesOf(document);
});
afterAll(() => world.stop());

describe('/docs', () => {
  it('is Swagger UI, with everything that it loads', async () => {
    const page = await fetch(`${app.baseUrl}/docs`);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    const html = await page.text();
    expect(html).toContain('<title>Tidings API</title>');
    const files = [...html.matchAll(/(?:src|href)="(\.?\/[^"]+)"/g)].map(([, file]) => file!);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      const asset = await fetch(new URL(file, page.url));
      expect(asset.status, `GET ${file}`).toBe(200);
      await asset.arrayBuffer();
    }
  });

  it('shows the document of this process, and keeps no credential', async () => {
    const script = await (await fetch(`${app.baseUrl}/docs/swagger-ui-init.js`)).text();
    expect(script).toContain('"persistAuthorization": false');
    expect(script).toContain('/api/v1/webhooks/{id}');
  });
});

describe('/docs/json', () => {
  it('is an OpenAPI 3.1 document with two ways to authorize', () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(document.components.securitySchemes).toMatchObject({
      jwt: { type: 'http', scheme: 'bearer' },
      'api-key': { type: 'apiKey', in: 'header', name: 'X-API-Key' },
    });
  });

  it('has every route that the process serves, and no other', () => {
    const served = servedRoutes(
      app.app.getHttpAdapter().getInstance().printRoutes({ commonPrefix: false }),
    );
    const own = served.filter(
      (name) => !/ \/(docs|bin)\b/.test(name) && !/^(HEAD|OPTIONS) /.test(name),
    );
    expect(own.length).toBeGreaterThan(15);
    expect(own.sort()).toEqual(routes.map(({ name }) => name).sort());
  });

  it('says of every operation what it does and who may call it', () => {
    for (const { name, operation, isPublic } of routes) {
      expect(operation.summary, `summary of ${name}`).toMatch(/^[A-Z]/);
      expect(operation.description, `description of ${name}`).toMatch(/\w/);
      if (!isPublic)
        expect(operation.security, `security of ${name}`).toEqual([{ 'api-key': [] }, { jwt: [] }]);
    }
  });

  it('gives every answer a schema and every refusal the form of a problem', () => {
    for (const { name, operation, isPublic, isStream, ids, example } of routes) {
      for (const [status, { content = {} }] of Object.entries(operation.responses)) {
        const isProblem = Number(status) >= 400 && !isPublic;
        const type = isProblem ? 'application/problem+json' : 'application/json';
        const schema = content[type]?.schema;
        if (isStream && !isProblem) expect(content, name).toHaveProperty('text/event-stream');
        else if (status === '204') expect(content, `${name} ${status}`).toEqual({});
        else if (isProblem)
          expect(schema, `${name} ${status}`).toEqual({ $ref: '#/components/schemas/Problem' });
        else
          expect(Object.keys(resolved(document, schema ?? {})), `${name} ${status}`).toContain(
            'properties',
          );
      }
      const expected = [
        ...(isPublic ? [] : ['401', '503']),
        ...(ids.length > 0 ? ['404'] : []),
        ...(example === undefined ? [] : ['400', '413', '415', '422']),
      ];
      expect(Object.keys(operation.responses), `refusals of ${name}`).toEqual(
        expect.arrayContaining(expected),
      );
    }
  });

  it('gives every parameter and every member a type and a word of explanation', () => {
    const members = Object.entries(document.components.schemas).flatMap(([name, schema]) =>
      Object.entries((schema['properties'] ?? {}) as Record<string, Schema>).map(
        ([member, { description, ...rest }]) => ({ name: `${name}.${member}`, description, rest }),
      ),
    );
    const parameters = routes.flatMap(({ name, operation }) =>
      (operation.parameters ?? []).map(({ name: parameter, schema, description }) => ({
        name: `${name} ${parameter}`,
        description,
        rest: schema,
      })),
    );
    const anything = ['AdminBroadcast.message', 'PublishEvent.data', 'Event.data'];
    for (const { name, description, rest } of [...members, ...parameters]) {
      const keywords = Object.keys(rest);
      const isTyped = ['type', 'anyOf', 'enum', '$ref', 'const'].some((key) =>
        keywords.includes(key),
      );
      expect(isTyped || anything.includes(name), `${name}: ${JSON.stringify(rest)}`).toBe(true);
      if (!keywords.includes('$ref')) expect(description, `description of ${name}`).toMatch(/\w/);
    }
  });

  it('knows the limits of a list', () => {
    const list = document.paths['/api/v1/events']?.['get'];
    expect(list?.parameters?.find(({ name }) => name === 'limit')?.schema).toMatchObject({
      type: 'integer',
      minimum: 1,
      maximum: 200,
      default: 50,
    });
  });

  it('has an example for every body, and the product accepts it and answers as documented', async () => {
    for (const route of routes.filter(({ isStream }) => !isStream)) {
      const ids = await things(route.name);
      const path = pathOf(route, (prefix) => ids[prefix]!);
      if (route.operation.requestBody)
        expect(route.example, `example of ${route.name}`).not.toEqual({});
      const body = bodyOf(route, (prefix) => ids[prefix]!);
      const answer = await app.api.request(route.method, path, body);
      expect(answer.status, `${route.name}: ${JSON.stringify(answer.body)}`).toBeLessThan(300);
      const documented = route.operation.responses[answer.status];
      expect(documented, `${route.name} ${answer.status}`).toBeDefined();
      const schema = documented?.content?.['application/json']?.schema;
      if (schema) expectToMatch(schema, answer.body, route.name);
    }
  });

  it('describes the problems that the product answers with', async () => {
    const problem = { $ref: '#/components/schemas/Problem' };
    for (const [method, path, body, status] of [
      ['POST', '/events', { type: '' }, 422],
      ['POST', '/events', '{', 400],
      ['GET', '/events/x', undefined, 404],
    ] as const) {
      const answer = await app.api.request(method, path, body);
      expectProblem(answer, status);
      expectToMatch(problem, answer.body, `${method} ${path}`);
    }
  });
});

/** Something of every kind to name in a path; the delivery is a dead letter. */
async function things(name: string): Promise<Record<string, string>> {
  const type = `docs.${name.replaceAll(/\W+/g, '-')}`;
  receiver.reply(500);
  const retryPolicy = { schedule: [] };
  const webhook = await read<{ id: string }>(
    app.api.webhook(receiver.url(), [type], { retryPolicy }),
  );
  const event = await read<{ id: string }>(app.api.publish({ type }));
  const key = await read<{ id: string }>(app.api.post('/api-keys', { name: 'docs' }, 201));
  const delivery = await eventually(async () => {
    const path = `/dead-letters?webhookId=${webhook.id}`;
    const { data } = await read<PageBody<DeliveryBody>>(app.api.get(path));
    expect(data).toHaveLength(1);
    return data[0]!;
  });
  const replay = `/webhooks/${webhook.id}/replay`;
  const none = { since: '2026-01-31T12:00:00Z', types: ['nothing.at-all'] };
  const operation = await read<{ id: string }>(app.api.post(replay, none, 202));
  const con = await liveConnection(app, 'docs');
  return { wh: webhook.id, evt: event.id, key: key.id, dlv: delivery.id, op: operation.id, con };
}

function expectToMatch(schema: Schema, body: unknown, name: string): void {
  const text = JSON.stringify({ ...schema, $defs: document.components.schemas });
  const checker = z.fromJSONSchema(
    JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/')) as Parameters<
      typeof z.fromJSONSchema
    >[0],
  );
  const { error } = checker.safeParse(body);
  expect(error?.issues ?? [], `${name}: ${JSON.stringify(body)}`).toEqual([]);
}

/** `GET /api/v1/webhooks/{id}` and so on, from the tree that the server prints of its routes. */
function servedRoutes(tree: string): string[] {
  const path: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const [, indent = '', segment = '', methods] =
      /^(.*?)[├└]── (\S*)(?: \((.*)\))?/.exec(line) ?? [];
    path.splice(indent.length / 4, Infinity, segment);
    const full = path.join('').replaceAll(/:(\w+)/g, '{$1}');
    return (methods?.split(', ') ?? []).map((method) => `${method} ${full}`);
  });
}
