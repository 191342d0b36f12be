import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;
let app: RunningApp;

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  app = await world.start();
});
afterAll(() => world.stop());

/** The attempts of the one delivery to a webhook, when it is final. */
async function attemptsOf(url: string, retryPolicy: object) {
  const { api } = forNewOwner(app);
  const webhook = await api.webhook(url, ['said.*'], { retryPolicy });
  await api.publish({ type: 'said.why' });
  return eventually(async () => {
    const { data } = await api.get(`/webhooks/${webhook.id}/deliveries`);
    expect(data[0]?.status).toMatch(/dead_letter|success/);
    return (await api.get(`/deliveries/${data[0]!.id}`)).attempts;
  });
}

describe('the error message of an attempt', () => {
  it('is kept for each attempt, and is null for a success', async () => {
    receiver.reply((response) => response.socket?.resetAndDestroy(), 500, 200);
    const attempts = await attemptsOf(receiver.url('/said'), { schedule: [10, 10] });
    expect(attempts.map(({ error, errorMessage }) => [error, errorMessage])).toEqual([
      ['http', 'Connection reset by the receiver before it sent a response.'],
      ['http', 'The receiver answered with status 500.'],
      [null, null],
    ]);
  });

  it('names what failed below HTTP', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as { port: number };
    await new Promise((resolve) => closed.close(resolve));
    const [refused] = await attemptsOf(`http://127.0.0.1:${port}/`, { schedule: [] });
    expect(refused).toMatchObject({
      error: 'connect',
      errorMessage: expect.stringMatching(/^Connection refused/),
    });
    const [absent] = await attemptsOf('http://absent.invalid/', { schedule: [] });
    expect(absent).toMatchObject({
      error: 'dns',
      errorMessage: expect.stringMatching(/^Name not found: absent\.invalid/),
    });
  });
});
