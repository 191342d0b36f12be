import { describe, expect, it, type TestContext } from 'vitest';
import { eventually } from '../support/eventually.js';
import { ProductProcess } from '../support/product-process.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { environment, World } from '../support/world.js';

/** Short deadlines make for short leases: 16 s for a delivery, 10 s for a lane. */
const SHORT = { DELIVERY_TIMEOUT_MS: '1000', LOG_LEVEL: 'log' };
const BEYOND_LEASES_MS = 35_000;
const FIFO = { ordering: 'fifo', retryPolicy: { schedule: [100, 100, 100, 100] } };

interface Site {
  receiver: WebhookReceiver;
  start: () => Promise<ProductProcess>;
}

async function site({ onTestFinished }: TestContext): Promise<Site> {
  const world = await World.create();
  const processes: ProductProcess[] = [];
  onTestFinished(async () => {
    await Promise.all(processes.map((product) => product.end('SIGKILL')));
    await world.stop();
  });
  return {
    receiver: await world.receiver(),
    async start() {
      const product = await ProductProcess.start(environment(world.database, SHORT));
      processes.push(product);
      return product;
    },
  };
}

async function publish({ api }: ProductProcess, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push((await api.publish({ type: 'lane.step' })).id);
  return ids;
}

const idsAt = (receiver: WebhookReceiver): string[] => receiver.requests.map(({ json }) => json.id);

/** Every event that is followed by an earlier one which had not come before. */
function overtaken(received: readonly string[], published: readonly string[]): string[] {
  const seen = new Set<string>();
  return received.filter((id) => {
    const before = published.slice(0, published.indexOf(id));
    const isEarly = before.some((one) => !seen.has(one));
    seen.add(id);
    return isEarly;
  });
}

// They wait for leases to end, and do so together.
describe.concurrent('the process that serves an ordered webhook', { timeout: 90_000 }, () => {
  it('is killed in the middle of a request: another goes on with that one, in order', async (context) => {
    const { receiver, start } = await site(context);
    const victim = await start();
    await victim.api.webhook(receiver.url(), ['lane.*'], FIFO);
    // The first few are answered, then none: the victim dies with a request out and more in line.
    let isDeaf = false;
    receiver.reply((response) => {
      isDeaf ||= receiver.requests.length > 5;
      if (!isDeaf) response.end();
    });
    const ids = await publish(victim, 20);
    await eventually(() => expect(isDeaf).toBe(true));
    await victim.end('SIGKILL');
    receiver.reply(200);
    const heir = await start();
    ids.push(...(await publish(heir, 5)));
    await eventually(
      () => expect(new Set(idsAt(receiver))).toEqual(new Set(ids)),
      BEYOND_LEASES_MS,
    );
    expect(overtaken(idsAt(receiver), ids)).toEqual([]);
  });

  it('sleeps past its lease: another takes over, and what the sleeper had in line is not sent by it', async (context) => {
    const { receiver, start } = await site(context);
    const sleeper = await start();
    await sleeper.api.webhook(receiver.url(), ['lane.*'], FIFO);
    let isAsleep = false;
    receiver.reply((response) => {
      if (receiver.requests.length === 4) {
        sleeper.kill('SIGSTOP');
        isAsleep = true;
      }
      response.end();
    });
    const events = Array.from({ length: 12 }, () => ({ type: 'lane.step', data: {} }));
    const { ids } = await sleeper.api.post('/events/batch', { events }, 202);
    await eventually(() => expect(isAsleep).toBe(true));
    const heir = await start();
    ids.push(...(await publish(heir, 10)));
    await eventually(
      () => expect(new Set(idsAt(receiver))).toEqual(new Set(ids)),
      BEYOND_LEASES_MS,
    );
    const countBefore = receiver.requests.length;
    sleeper.kill('SIGCONT');
    // The control: both are awake, and one of them serves the webhook.
    ids.push(...(await publish(sleeper, 5)), ...(await publish(heir, 5)));
    await eventually(() => expect(new Set(idsAt(receiver))).toEqual(new Set(ids)));
    expect(receiver.requests).toHaveLength(countBefore + 10);
    expect(overtaken(idsAt(receiver), ids)).toEqual([]);
  });
});
