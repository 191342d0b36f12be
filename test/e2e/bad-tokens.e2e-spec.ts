import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem } from '../support/bodies.js';
import { ProductProcess } from '../support/product-process.js';
import { SocketClient } from '../support/socket-client.js';
import { JWT_SECRET, tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { environment, World } from '../support/world.js';

let world: World;
/** A process of its own: what ends it must not end the tests. */
let product: ProductProcess;

beforeAll(async () => {
  world = await World.create();
  product = await ProductProcess.start(environment(world.database, { LOG_LEVEL: 'log' }));
});
afterAll(async () => {
  await product?.end();
  await world?.stop();
});

const encoded = (text: string) => Buffer.from(text).toString('base64url');

/** Correctly signed. */
function signed(payload: string, header = '{"alg":"HS256","typ":"JWT"}'): string {
  const input = `${encoded(header)}.${encoded(payload)}`;
  return `${input}.${createHmac('sha256', JWT_SECRET).update(input).digest('base64url')}`;
}

const TOKENS: [name: string, token: string][] = [
  ['null', signed('null')],
  ['null, without a type', signed('null', '{"alg":"HS256"}')],
  ['true', signed('true')],
  ['a number', signed('7')],
  ['a text', signed('"acme"')],
  ['a list', signed('[{"sub":"acme","exp":9999999999}]')],
  ['nothing', signed('')],
  ['broken JSON', signed('{"sub":')],
  ['deep lists', signed('['.repeat(2_000) + ']'.repeat(2_000))],
  ['claims of wrong types', signed('{"sub":{},"exp":[],"nbf":null,"roles":7,"topics":{}}')],
  ['a null header', signed('{"sub":"acme","exp":9999999999}', 'null')],
];

describe.each(TOKENS)('a token whose claims are %s is refused', (_, token) => {
  const code = 'invalid_token';

  it('over REST', async () => {
    const answer = await product.api.as(token).request('GET', '/events');
    expect(expectProblem(answer, 401).code).toBe(code);
  });

  it('over Socket.IO', async () => {
    const refused = await SocketClient.refused(product.baseUrl, { auth: { token } });
    expect(refused.data).toMatchObject({ code });
  });

  it('over a WebSocket, in each place', async () => {
    const headers = { authorization: `Bearer ${token}` };
    const { baseUrl } = product;
    for (const refused of [
      await WebSocketClient.refused(baseUrl, '/ws', { headers }),
      await WebSocketClient.refused(baseUrl, '/ws', { protocols: ['bearer', token] }),
      await WebSocketClient.refused(baseUrl, `/ws?token=${token}`),
    ]) {
      expect(refused).toMatchObject({ status: 401, body: { code } });
    }
  });

  it('over an event stream', async () => {
    const url = `${product.baseUrl}/api/v1/events/stream?token=${token}`;
    const answer = await fetch(url);
    expect(answer.status).toBe(401);
    expect(await answer.json()).toMatchObject({ code });
  });

  it('over auth:refresh, and the connection stays', async () => {
    const auth = { token: tokenFor('ann') };
    const client = await SocketClient.connect(product.baseUrl, { auth });
    const answer = await client.request('auth:refresh', { token });
    expect(answer).toMatchObject({ ok: false, error: { code } });
    expect(await client.request('ping')).toMatchObject({ ok: true });
    client.close();
  });
});

describe('the process', () => {
  it('has gone on through all of them', async () => {
    expect(await product.api.get('//health/ready')).toMatchObject({ status: 'ok' });
    expect(product.output).not.toMatch(/unhandled|uncaught|TypeError/i);
  });
});
