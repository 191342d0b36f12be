import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NotificationListener } from '../../src/database/notification.listener.js';
import { NotificationsStore } from '../../src/database/notifications.store.js';
import { RetentionService } from '../../src/retention/retention.service.js';
import { eventually } from '../support/eventually.js';
import { PgBouncer } from '../support/pgbouncer.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

const EVENTS = 60;

let world: World;
let bouncer: PgBouncer;

beforeEach(async () => {
  world = await World.create();
});
afterEach(async () => {
  await world.stop();
  await bouncer.stop();
});

const startBehind = (more: NodeJS.ProcessEnv = {}): Promise<RunningApp> =>
  world.start({ DATABASE_URL: `${bouncer.url}&options=`, ...more });

describe.each([
  ['session', false],
  ['session', true],
  ['transaction', true],
] as const)('behind PgBouncer in %s mode, with a direct URL: %s', (mode, isDirect) => {
  beforeEach(async () => {
    bouncer = await PgBouncer.start(mode, world.database);
  });

  it('two nodes accept, deliver, notify each other and keep order', async () => {
    const direct = isDirect ? { DATABASE_DIRECT_URL: world.database.url } : {};
    const [one, other] = [await startBehind(direct), await startBehind(direct)];
    const receiver = await world.receiver();
    const socket = await SocketClient.connect(other.baseUrl, { auth: { token: tokenFor('ada') } });
    await socket.subscribe('trade.*');
    const { id } = await one.api.webhook(receiver.url(), ['trade.*'], { ordering: 'fifo' });
    await one.api.webhook(receiver.url('/all'), ['trade.*']);
    const published = Array.from({ length: EVENTS }, async (_, n) => {
      const api = n % 2 === 0 ? one.api : other.api;
      const answer = await api.publish(
        { type: 'trade.made', data: n },
        { 'idempotency-key': `k${n}` },
      );
      return answer.id;
    });
    const ids = await Promise.all(published);
    await eventually(() => {
      for (const path of ['/hook', '/all']) {
        const received = receiver.requests.filter((request) => request.path === path);
        expect(received.map(({ json }) => json.id).sort()).toEqual([...ids].sort());
      }
    });
    const control = await other.api.publish({ type: 'trade.control' });
    expect(await socket.eventsUntil(control.id)).toContain(control.id);
    await other.api.patch(`/webhooks/${id}`, { active: false });
    expect(await one.api.get(`/webhooks/${id}`)).toMatchObject({ active: false });
    socket.close();

    let notified = 0;
    one.app.get(NotificationListener).on('operations', () => notified++);
    const before = notified;
    await eventually(async () => {
      await other.app.get(NotificationsStore).notify('operations');
      expect(notified).toBeGreaterThan(before);
    });
    expect(await one.app.get(RetentionService, { strict: false }).run(Date.now())).toBe(true);
  });
});

describe('behind PgBouncer in transaction mode without a direct URL', () => {
  it('the start ends with what to change', async () => {
    bouncer = await PgBouncer.start('transaction', world.database);
    await expect(startBehind()).rejects.toThrow(/Set DATABASE_DIRECT_URL/);
  });
});
