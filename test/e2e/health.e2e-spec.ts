import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { type RunningApp, World } from '../support/world.js';

describe('health', () => {
  let world: World;
  let redis: RedisServer;
  let running: RunningApp;
  const http = () => request(running.app.getHttpServer());

  beforeAll(async () => {
    world = await World.create();
    redis = await startRedisServer();
    running = await world.start({ REDIS_URL: redis.url });
  });
  afterAll(async () => {
    await world.stop();
    await redis.stop();
  });

  it('says without a credential that the process is alive', async () => {
    await http().get('/health/live').expect(200, { status: 'ok' });
  });

  it('is ready while database and queue answer, and says how far delivery lags', async () => {
    const { body } = await http().get('/health/ready').expect(200);
    expect(body).toMatchObject({
      status: 'ok',
      details: {
        database: { status: 'up' },
        queue: { status: 'up', kind: 'redis' },
        lag: { status: 'up', oldestDueMs: expect.any(Number) as number },
      },
    });
  });

  it('is not ready while the queue hangs, lives on, and is ready again after it', async () => {
    redis.pause();
    try {
      const { body } = await http().get('/health/ready').expect(503);
      expect(body).toMatchObject({ status: 'error', error: { queue: { status: 'down' } } });
      await http().get('/health/live').expect(200);
      // Nothing of this keeps an event from being accepted.
      await running.api.publish({ type: 'while.redis.hangs' });
    } finally {
      redis.resume();
    }
    await eventually(() => http().get('/health/ready').expect(200));
  });

  it('answers only health checks in a process without the role api', async () => {
    const worker = await world.start({ ROLES: 'worker' });
    const server = request(worker.app.getHttpServer());
    await server.get('/health/live').expect(200);
    await server
      .get('/api/v1/events')
      .expect(404)
      .expect('content-type', /problem\+json/);
  });
});
