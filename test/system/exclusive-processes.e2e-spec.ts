import { describe, expect, it, type TestContext } from 'vitest';
import { eventually } from '../support/eventually.js';
import { ProductProcess } from '../support/product-process.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { environment, World } from '../support/world.js';

/** A short timeout makes for short leases of deliveries. */
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
  for (let n = 0; n < count; n++) ids.push((await api.publish({ type: 'exclusive.step' })).id);
  return ids;
}

const idsAt = (receiver: WebhookReceiver): string[] => receiver.requests.map(({ json }) => json.id);

/** Every event that came before the first arrival of an earlier one. */
function overtaken(received: readonly string[], published: readonly string[]): string[] {
  const seen = new Set<string>();
  return received.filter((id) => {
    const before = published.slice(0, published.indexOf(id));
    const isEarly = before.some((one) => !seen.has(one));
    seen.add(id);
    return isEarly;
  });
}

// They wait for leases to end, and do so at the same time.
describe.concurrent('the process that serves an ordered webhook', { timeout: 90_000 }, () => {
  it('is killed during a request: another continues with that delivery, in order', async (context) => {
    const { receiver, start } = await site(context);
    const victim = await start();
    await victim.api.webhook(receiver.url(), ['exclusive.*'], FIFO);
    // Only the first few get a response: the victim dies with a request in flight and a queue behind it.
    let isSilent = false;
    receiver.reply((response) => {
      isSilent ||= receiver.requests.length > 5;
      if (!isSilent) response.end();
    });
    const ids = await publish(victim, 20);
    await eventually(() => expect(isSilent).toBe(true));
    await victim.end('SIGKILL');
    receiver.reply(200);
    const successor = await start();
    ids.push(...(await publish(successor, 5)));
    await eventually(
      () => expect(new Set(idsAt(receiver))).toEqual(new Set(ids)),
      BEYOND_LEASES_MS,
    );
    expect(overtaken(idsAt(receiver), ids)).toEqual([]);
  });

  it('is suspended past its lease: another takes over, and the suspended one sends nothing of its queue', async (context) => {
    const { receiver, start } = await site(context);
    const suspended = await start();
    await suspended.api.webhook(receiver.url(), ['exclusive.*'], FIFO);
    let isSuspended = false;
    receiver.reply((response) => {
      if (receiver.requests.length === 4) {
        suspended.kill('SIGSTOP');
        isSuspended = true;
      }
      response.end();
    });
    const events = Array.from({ length: 12 }, () => ({ type: 'exclusive.step', data: {} }));
    const { ids } = await suspended.api.post('/events/batch', { events }, 202);
    await eventually(() => expect(isSuspended).toBe(true));
    const successor = await start();
    ids.push(...(await publish(successor, 10)));
    await eventually(
      () => expect(new Set(idsAt(receiver))).toEqual(new Set(ids)),
      BEYOND_LEASES_MS,
    );
    const countBefore = receiver.requests.length;
    suspended.kill('SIGCONT');
    // The control: both run, and one of them serves the webhook.
    ids.push(...(await publish(suspended, 5)), ...(await publish(successor, 5)));
    await eventually(() => expect(new Set(idsAt(receiver))).toEqual(new Set(ids)));
    expect(receiver.requests).toHaveLength(countBefore + 10);
    expect(overtaken(idsAt(receiver), ids)).toEqual([]);
  });
});
