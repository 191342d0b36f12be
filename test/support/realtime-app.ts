import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import jwt from 'jsonwebtoken';
import { configureHttp } from '../../src/http-app.js';
import { ApiKeysService } from '../../src/auth/api-keys.service.js';
import { AuthModule } from '../../src/auth/auth.module.js';
import { newId } from '../../src/shared/ids.js';
import { ClusterModule } from '../../src/cluster/cluster.module.js';
import { ConfigModule } from '../../src/config/config.module.js';
import type { Timings } from '../../src/config/timings.js';
import { DatabaseModule } from '../../src/database/database.module.js';
import {
  RealtimeAdapter,
  type Timing,
} from '../../src/realtime/transports/socket-io/realtime.adapter.js';
import { RealtimeModule } from '../../src/realtime/realtime.module.js';
import { type RealtimeEvent, RealtimePublisher } from '../../src/realtime/realtime.publisher.js';
import { SystemEvents } from '../../src/system-events/system-events.service.js';
import { configWith, seconds } from './auth-app.js';
import { ALL_TEST_TIMINGS } from './timings.js';

const JWT_SECRET = 'a-secret-that-is-long-enough-for-hs256';

/** An application with only authentication and live connections. */
export interface RealtimeApp {
  app: NestFastifyApplication;
  url: string;
  apiKeys: ApiKeysService;
  /** Publishes an event as the product does after a commit, and returns its id. */
  publish(event: Partial<RealtimeEvent>): string;
  close(): Promise<void>;
}

/** Starts one. @param env e.g. `{ REDIS_URL: … }` */
export async function startRealtimeApp(
  databaseUrl: string,
  env: Record<string, string> = {},
  timing: Timing = {},
  timings: Partial<Timings> = {},
): Promise<RealtimeApp> {
  const config = configWith({ JWT_SECRET, ...env });
  const testing = await Test.createTestingModule({
    imports: [
      ConfigModule.forRoot(config, { ...ALL_TEST_TIMINGS, ...timings }),
      DatabaseModule.forRoot({ url: databaseUrl }, { ...ALL_TEST_TIMINGS, ...timings }),
      ClusterModule.forRoot(config),
      AuthModule,
      RealtimeModule.forRoot(config),
    ],
  }).compile();
  const app = testing.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), {
    logger: ['error', 'warn'],
    forceCloseConnections: true,
  });
  configureHttp(app);
  app.useWebSocketAdapter(new RealtimeAdapter(app, timing));
  void settleRequests(app.get(SystemEvents, { strict: false }));
  await app.listen(0, '127.0.0.1');
  const publisher = app.get(RealtimePublisher, { strict: false });
  return {
    app,
    url: await app.getUrl(),
    apiKeys: app.get(ApiKeysService, { strict: false }),
    publish: (event) => {
      const whole = anyEvent(event);
      publisher.publish([whole]);
      return whole.id;
    },
    close: () => app.close(),
  };
}

/** There is no event log here that would publish system events. */
async function settleRequests(systemEvents: SystemEvents): Promise<never> {
  for (;;) (await systemEvents.takeRequest()).resolve();
}

/** A token that ends in a minute. */
export const tokenOf = (sub: string, claims: object = {}): string =>
  jwt.sign({ sub, roles: ['subscriber'], exp: seconds() + 60, ...claims }, JWT_SECRET);

/** A public event with the given members. */
export function anyEvent(given: Partial<RealtimeEvent>): RealtimeEvent {
  const { id = newId('evt'), ownerId = null, type = 'trade.submitted', subject = null } = given;
  const timestamp = new Date().toISOString();
  const body = JSON.stringify({
    id,
    type,
    timestamp,
    subject: subject ?? undefined,
    data: { n: 1 },
  });
  return { id, ownerId, type, subject, body, ...given };
}
