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
        bus: { status: 'up', kind: 'redis' },
        lag: { status: 'up', oldestDueMs: expect.any(Number) as number },
      },
    });
  });

  it('is degraded while Redis hangs, accepts events, and is well again after it', async () => {
    redis.pause();
    try {
      const { body } = await http().get('/health/ready').expect(200);
      expect(body).toMatchObject({
        status: 'degraded',
        details: { database: { status: 'up' }, queue: { status: 'degraded' } },
      });
      await eventually(async () => {
        const { body: later } = await http().get('/health/ready').expect(200);
        expect(later.details.bus).toMatchObject({ status: 'degraded' });
      });
      await http().get('/health/live').expect(200);
      await running.api.publish({ type: 'while.redis.hangs' });
    } finally {
      redis.resume();
    }
    await eventually(async () => {
      const { body } = await http().get('/health/ready').expect(200);
      expect(body.status).toBe('ok');
    });
  });

  it.each([
    ['api', ['bus', 'database', 'queue']],
    ['worker', ['database', 'lag', 'queue']],
    ['realtime', ['bus', 'database']],
  ])('says of the role %s what that role needs', async (roles, checks) => {
    const { app } = await world.start({ ROLES: roles, REDIS_URL: redis.url });
    const { body } = await request(app.getHttpServer()).get('/health/ready').expect(200);
    expect(Object.keys(body.details as object).sort()).toEqual(checks);
  });

  it('is not ready without the database, whatever the role', async () => {
    const lost = await World.create();
    const { app } = await lost.start({ ROLES: 'realtime' });
    await lost.database.drop();
    const { body } = await request(app.getHttpServer()).get('/health/ready').expect(503);
    expect(body).toMatchObject({ status: 'error', error: { database: { status: 'down' } } });
    await lost.stop();
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
