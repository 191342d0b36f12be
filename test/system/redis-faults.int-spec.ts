import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import Bull from 'bull';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { RedisRealtimeBus } from '../../src/cluster/realtime-bus.client.js';
import { BullConnections } from '../../src/delivery/handover/bull.connections.js';
import { BullDeliveryQueue } from '../../src/delivery/handover/bull.queue.js';
import { DeliveryProcessor } from '../../src/delivery/handover/bull.processor.js';
import type { ChunkConsumer } from '../../src/delivery/handover/chunk-consumer.service.js';
import { newId } from '../../src/shared/ids.js';
import { eventually } from '../support/eventually.js';
import { anyEvent } from '../support/realtime-app.js';
import { type Conduct, RedisEndpoint } from '../support/redis-endpoint.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { ALL_TEST_TIMINGS } from '../support/timings.js';

const TIMINGS = ALL_TEST_TIMINGS;
/** Longer than the timeout of a handshake, and than several pauses between connections. */
const FAULT_MS = 2 * TIMINGS.redisTimeoutMs;
/** What is not over by then never will be; far above what is promised, for slow machines. */
const HEALED_MS = 20_000;
const PASSWORD = 'the-first-password';

let redis: RedisServer;
let admin: Redis;

beforeAll(async () => {
  Logger.overrideLogger(false);
  redis = await startRedisServer();
  admin = new Redis(redis.url);
});
afterAll(async () => {
  admin?.disconnect();
  await redis?.stop();
  Logger.overrideLogger(true);
});

/** All uses of Redis by a publisher and a worker, through an endpoint that may misbehave. */
class Uses {
  readonly consumed = new Set<string>();
  readonly received = new Set<string>();
  private readonly producer: BullDeliveryQueue;
  private readonly connections: BullConnections;
  private readonly processor: DeliveryProcessor;
  private readonly buses: [RedisRealtimeBus, RedisRealtimeBus];

  constructor(url: string) {
    this.producer = new BullDeliveryQueue(url, TIMINGS);
    this.connections = new BullConnections(url, 'take events from the queue');
    const queue = new Bull('tidings-deliveries', this.connections.options(TIMINGS));
    const consumer = {
      consume: (ids: readonly string[]) => {
        for (const id of ids) this.consumed.add(id);
        return Promise.resolve();
      },
    } as unknown as ChunkConsumer;
    this.processor = new DeliveryProcessor(consumer, this.connections, queue);
    this.processor.onApplicationBootstrap();
    this.buses = [new RedisRealtimeBus(url, TIMINGS), new RedisRealtimeBus(url, TIMINGS)];
  }

  static async through({ onTestFinished }: Finish, url: string): Promise<Uses> {
    const uses = new Uses(`${url}/${tests++ % DATABASES}`);
    onTestFinished(() => uses.close());
    await uses.buses[1].receiveEvents((events) => {
      for (const { id } of events) uses.received.add(id);
    });
    return uses;
  }

  /** Hands over and publishes until both arrive: what was sent before may be lost. */
  async work(timeoutMs = HEALED_MS): Promise<void> {
    await Promise.all([
      eventually(async () => {
        const id = newId('evt');
        this.producer.enqueue([id]);
        await eventually(() => expect(this.consumed).toContain(id), 500);
      }, timeoutMs),
      eventually(async () => {
        const event = anyEvent({});
        this.buses[0].publish([event]);
        await eventually(() => expect(this.received).toContain(event.id), 500);
      }, timeoutMs),
      eventually(() => expect(this.buses.map((bus) => bus.isConnected)).toEqual([true, true])),
      eventually(() => this.producer.ping(), timeoutMs),
    ]);
  }

  use(): void {
    this.producer.enqueue([newId('evt')]);
    this.buses[0].publish([anyEvent({})]);
  }

  async close(): Promise<void> {
    await Promise.all([
      this.processor.beforeApplicationShutdown(),
      this.producer.close(),
      ...this.buses.map((bus) => bus.onApplicationShutdown()),
    ]);
  }
}

type Finish = Pick<TestContext, 'onTestFinished'>;

async function endpoint({ onTestFinished }: Finish): Promise<RedisEndpoint> {
  const between = await RedisEndpoint.to(redis.port);
  onTestFinished(() => between.close());
  return between;
}

/** They run side by side, each in a database of its own: no more at once than vitest runs. */
const DATABASES = 16;
let tests = 0;

const FAULTS: [string, Conduct][] = [
  ['closes before a byte', { kind: 'close', afterRequestBytes: 0 }],
  ['closes at the first byte', { kind: 'close', afterRequestBytes: 1 }],
  ['closes later', { kind: 'close', afterRequestBytes: 60 }],
  ['accepts and says nothing', { kind: 'silence' }],
  ['freezes connections', { kind: 'freeze' }],
  ['is a web server', { kind: 'say', bytes: 'HTTP/1.1 400 Bad Request\r\n\r\n', closes: true }],
  ['speaks without being asked', { kind: 'say', bytes: '+OK\r\n' }],
  ['speaks another protocol', { kind: 'say', bytes: Buffer.from([0x15, 3, 3, 0, 2, 2, 70]) }],
  [
    'has too many clients',
    { kind: 'say', bytes: '-ERR max number of clients reached\r\n', closes: true },
  ],
  ['is loading', { kind: 'say', bytes: '-LOADING Redis is loading the dataset in memory\r\n' }],
  ['is a replica', { kind: 'say', bytes: '-READONLY You can not write\r\n' }],
  ['cannot write its snapshot', { kind: 'say', bytes: '-MISCONF Errors writing to disk\r\n' }],
  ['promises an answer that does not come', { kind: 'say', bytes: '$1000000\r\n' }],
];

describe.concurrent('a Redis that', { timeout: 60_000 }, () => {
  it.for(FAULTS)('%s does not matter afterwards', async ([, conduct], context) => {
    const between = await endpoint(context);
    const uses = await Uses.through(context, between.url());
    await uses.work();
    between.behave(conduct);
    for (let n = 0; n < 10; n++) {
      uses.use();
      await delay(FAULT_MS / 10);
    }
    if (conduct.kind !== 'freeze') between.behave({ kind: 'forward' });
    await uses.work();
  });

  it.for(FAULTS)(
    '%s from the start on does not matter afterwards',
    async ([, conduct], context) => {
      const between = await endpoint(context);
      between.behave(conduct);
      const uses = await Uses.through(context, between.url());
      uses.use();
      await delay(FAULT_MS / 2);
      if (conduct.kind !== 'freeze') between.behave({ kind: 'forward' });
      await uses.work();
    },
  );

  it.for(FAULTS)('%s does not delay the end', async ([, conduct], context) => {
    const between = await endpoint(context);
    const uses = await Uses.through(context, between.url());
    await uses.work();
    between.behave(conduct);
    uses.use();
    await delay(100);
    await uses.close();
  });

  it('cuts connections at any byte does not matter afterwards', async (context) => {
    const between = await endpoint(context);
    const uses = await Uses.through(context, between.url());
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5_000 }), async (afterAnswerBytes) => {
        between.behave({ kind: 'cut', afterAnswerBytes });
        for (let n = 0; n < 10; n++) {
          uses.use();
          await delay(FAULT_MS / 20);
        }
        between.behave({ kind: 'forward' });
        await uses.work();
      }),
      { numRuns: 8 },
    );
  }, 120_000);

  it('speaks random bytes does not matter afterwards', async (context) => {
    const between = await endpoint(context);
    const uses = await Uses.through(context, between.url());
    for (let round = 0; round < 5; round++) {
      between.behave({ kind: 'say', bytes: randomBytes(100) });
      uses.use();
      await delay(FAULT_MS / 5);
    }
    between.behave({ kind: 'forward' });
    await uses.work();
  });
});

describe.concurrent('a Redis user', { timeout: 60_000 }, () => {
  it('whose password is changed is refused, and works again with it', async (context) => {
    await admin.call('ACL', 'SETUSER', 'u', 'reset', 'on', `>${PASSWORD}`, '~*', '&*', '+@all');
    const between = await endpoint(context);
    const uses = await Uses.through(context, between.url(`u:${PASSWORD}@`));
    await uses.work();
    await admin.call('ACL', 'SETUSER', 'u', 'resetpass', '>another');
    await admin.call('CLIENT', 'KILL', 'USER', 'u');
    uses.use();
    await delay(FAULT_MS);
    await admin.call('ACL', 'SETUSER', 'u', `>${PASSWORD}`);
    await uses.work();
  });

  it.for<[string, string[], string[]]>([
    ['channels', ['resetchannels'], ['&*']],
    ['scripts', ['-@scripting'], ['+@all']],
    ['keys', ['resetkeys'], ['~*']],
    ['anything', ['nocommands'], ['+@all']],
  ])(
    'that may not use %s is refused, and works again when it may',
    async ([, less, more], context) => {
      const user = `v${tests}`;
      await admin.call('ACL', 'SETUSER', user, 'reset', 'on', `>${PASSWORD}`, '~*', '&*', '+@all');
      await admin.call('ACL', 'SETUSER', user, ...less);
      const between = await endpoint(context);
      const uses = await Uses.through(context, between.url(`${user}:${PASSWORD}@`));
      uses.use();
      await delay(FAULT_MS / 2);
      await admin.call('ACL', 'SETUSER', user, ...more);
      await uses.work();
      await admin.call('ACL', 'SETUSER', user, ...less);
      uses.use();
      await delay(FAULT_MS / 2);
      await admin.call('ACL', 'SETUSER', user, ...more);
      await uses.work();
    },
  );
});
