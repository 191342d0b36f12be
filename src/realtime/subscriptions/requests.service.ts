import { performance } from 'node:perf_hooks';
import { Injectable, Logger } from '@nestjs/common';
import { Authenticator } from '../../auth/authenticator.service.js';
import { AppError, UnavailableError } from '../../shared/app-error.js';
import { isStoreOutage } from '../../database/sql-errors.js';
import { ReplayService } from '../resume/replay.service.js';
import type { Connection } from '../connections/realtime.connection.js';
import type {
  Answer,
  ClientToServer,
  RealtimeErrorCode,
  Recovery,
  Refreshed,
  Refusal,
  Subscribed,
} from '../realtime-events.js';
import {
  checkPing,
  refreshRequest,
  subscribeRequest,
  unsubscribeRequest,
} from './subscription-request.js';
import { Subscriptions } from './subscriptions.service.js';
import { written } from './topic.js';

/** What is done for a message; throws an AppError to refuse. The result is told with `ok: true`. */
export type RequestHandler = (connection: Connection, payload: unknown) => object | Promise<object>;

/** A client that ignores as many refusals in a row does not look at them. */
const MAX_IGNORED_REFUSALS = 1_000;

/** Carries out what connected clients ask for, over all transports. */
@Injectable()
export class Requests {
  private readonly logger = new Logger(Requests.name);
  private readonly handlers = new Map<string, RequestHandler>();
  /** The refreshing of tokens, one after the other per connection: the last one sent wins. */
  private readonly refreshing = new WeakMap<Connection, Promise<unknown>>();

  constructor(
    private readonly subscriptions: Subscriptions,
    private readonly replay: ReplayService,
    private readonly authenticator: Authenticator,
  ) {
    this.register('subscribe', (connection, payload) => this.subscribe(connection, payload));
    this.register('unsubscribe', (connection, payload) => this.unsubscribe(connection, payload));
    this.register('ping', (connection, payload) => ping(connection, payload));
    this.register('auth:refresh', (connection, payload) => this.refreshInTurn(connection, payload));
  }

  /** Teaches every transport a message. */
  register(name: keyof ClientToServer, handler: RequestHandler): void {
    this.handlers.set(name, handler);
  }

  /**
   * Carries out one message. Never throws; answers at once unless something has to be waited for.
   * Undefined: nobody is to be answered, because the connection was told to go.
   */
  answer(
    connection: Connection,
    name: unknown,
    payload: unknown,
  ): Answer | Promise<Answer> | undefined {
    if (!connection.isOpen) return undefined;
    const refusal = this.admit(connection);
    if (refusal) return connection.isOpen ? { ok: false, error: refusal } : undefined;
    const handler = typeof name === 'string' ? this.handlers.get(name) : undefined;
    if (!handler) return refused('unknown_event', 'There is no event of this name.');
    try {
      const result = handler(connection, payload);
      if (!(result instanceof Promise)) return { ok: true, ...result };
      return result.then(
        (value) => ({ ok: true as const, ...value }),
        (error: unknown) => this.failed(error),
      );
    } catch (error) {
      return this.failed(error);
    }
  }

  /**
   * Whether the connection may send a message now; for messages that are no request, too.
   *
   * @returns why not
   */
  admit(connection: Connection): Refusal | undefined {
    connection.receivedMessages++;
    const retryAfterMs = connection.budget.take(performance.now());
    if (retryAfterMs === 0) {
      connection.refusals = 0;
      return undefined;
    }
    if (++connection.refusals > MAX_IGNORED_REFUSALS) connection.close('rate_limited');
    return {
      code: 'rate_limited' satisfies RealtimeErrorCode,
      message: `Too many messages. The next one is taken in ${retryAfterMs} ms.`,
      retryAfterMs,
      remaining: connection.budget.remaining,
    };
  }

  private subscribe(
    connection: Connection,
    payload: unknown,
  ): Subscribed | Promise<Subscribed & Recovery> {
    const { topics, after } = subscribeRequest(payload);
    const join = () => this.subscriptions.add(connection, topics);
    if (after !== undefined) return this.resume(connection, { topics, after, join });
    join();
    return subscribed(connection);
  }

  private async resume(
    connection: Connection,
    request: Omit<Parameters<ReplayService['replay']>[0], 'connection'>,
  ): Promise<Subscribed & Recovery> {
    this.subscriptions.check(connection, request.topics);
    const recovery = await this.replay.replay({ connection, ...request });
    return { ...subscribed(connection), ...recovery };
  }

  private unsubscribe(connection: Connection, payload: unknown): Subscribed {
    this.subscriptions.remove(connection, unsubscribeRequest(payload).topics);
    return subscribed(connection);
  }

  private refreshInTurn(connection: Connection, payload: unknown): Promise<Refreshed> {
    const { token } = refreshRequest(payload);
    const previous = this.refreshing.get(connection) ?? Promise.resolve();
    const refreshed = previous.then(() => this.refresh(connection, token));
    this.refreshing.set(
      connection,
      refreshed.catch(() => undefined),
    );
    return refreshed;
  }

  private async refresh(connection: Connection, token: string): Promise<Refreshed> {
    const principal = await this.authenticator.authenticate({ authorization: `Bearer ${token}` });
    if (principal.ownerId !== connection.principal.ownerId) {
      const detail = 'The token belongs to another owner than the connection.';
      throw new AppError('forbidden', 'forbidden' satisfies RealtimeErrorCode, detail);
    }
    connection.apiKey = undefined;
    const dropped = this.subscriptions.rebind(connection, principal);
    return {
      ...subscribed(connection),
      dropped: dropped.map(written),
      expiresAt: new Date(principal.expiresAtMs!).toISOString(),
    };
  }

  private failed(error: unknown): Answer {
    if (error instanceof AppError) return refused(error.code, error.detail);
    if (isStoreOutage(error)) {
      this.logger.warn(`a store is not answering: ${String(error)}`);
      return this.failed(new UnavailableError('A store does not answer at the moment. Try again.'));
    }
    this.logger.error(error);
    return refused('internal_error', 'The server failed to do this.');
  }
}

function ping(connection: Connection, payload: unknown): object {
  checkPing(payload);
  connection.say('pong', { serverTime: new Date().toISOString() });
  return {};
}

const refused = (code: string, message: string): Answer => ({
  ok: false,
  error: { code, message },
});

const subscribed = ({ topics }: Connection): Subscribed => ({
  topics: [...topics.values()].map(written),
});
