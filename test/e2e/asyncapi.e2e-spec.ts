import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem } from '../support/bodies.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

interface Document {
  components: { messages: Record<string, { payload: object }>; schemas: Record<string, object> };
}

const PATH = '//docs/asyncapi.json';
const SECRET = 'secret.product_launched';

let world: World;
let product: RunningApp;
let client: SocketClient;

beforeAll(async () => {
  world = await World.create();
  product = await world.start();
  const schema = { type: 'object', required: ['price'], properties: { price: { type: 'number' } } };
  await product.api.post('/event-types', { name: 'quotes.price', durable: false, schema }, 201);
  await product.api.post('/event-types', { name: SECRET }, 201);
  await product.api.post('/event-types', { name: 'only.webhooks', transports: ['webhook'] }, 201);
  client = await SocketClient.connect(product.baseUrl, { auth: { token: tokenFor('ann') } });
});
afterAll(async () => {
  client?.close();
  await world.stop();
});

const read = async (token?: string) =>
  (await product.api.as(token).get(PATH)) as unknown as Document;

describe('/docs/asyncapi.json', () => {
  it('has the frames for all callers, and the operator’s types for callers with a credential', async () => {
    const open = await read();
    expect(open.components.messages['socketIo.connected']).toBeDefined();
    expect(open.components.messages['socketIo.event.webhook.disabled']).toBeDefined();
    expect(JSON.stringify(open)).not.toContain(SECRET);
    const whole = await read(tokenFor('ann'));
    expect(whole.components.messages[`socketIo.event.${SECRET}`]).toBeDefined();
    expect(whole.components.schemas['data.quotes.price']).toMatchObject({ required: ['price'] });
    expect(JSON.stringify(whole)).not.toContain('only.webhooks');
  });

  it('is refused to a bad credential like everything else', async () => {
    expectProblem(await product.api.as('x.y.z').request('GET', PATH), 401);
  });

  it('describes what a client gets', async () => {
    const document = await read(tokenFor('ann'));
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema({ $id: 'https://example.com/asyncapi', ...document });
    const expectDescribed = (name: string, payload: unknown) => {
      const $ref = `https://example.com/asyncapi#/components/messages/socketIo.${name}/payload`;
      const check = ajv.compile({ $ref });
      expect(check(payload), `${JSON.stringify(payload)}: ${JSON.stringify(check.errors)}`).toBe(
        true,
      );
    };
    expectDescribed('connected', await client.next('connected'));
    for (const [name, request] of [
      ['subscribe', { topics: ['quotes.*', { type: 'a', subject: 'b' }] }],
      ['unsubscribe', { topics: ['a'] }],
      ['subscribe', { topics: 7 }],
      ['ping', {}],
      ['auth:refresh', { token: tokenFor('ann') }],
    ] as const) {
      expectDescribed(`${name.replace(':', '-')}.answer`, await client.request(name, request));
    }
    await product.api.as(tokenFor('ann')).publish({ type: 'quotes.price', data: { price: 1 } });
    const event = await client.next('event');
    expectDescribed('event', event);
    expectDescribed('event.quotes.price', event);
  });
});
