import { performance } from 'node:perf_hooks';
import { Injectable, Logger } from '@nestjs/common';
import type { z } from 'zod';
import { Authenticator } from '../../auth/authenticator.service.js';
import { credentialOf } from '../../auth/credentials.js';
import { isGuest, type Principal, requireAbility, userKey } from '../../auth/principal.js';
import { isStoreOutage } from '../../database/sql-errors.js';
import { AppError, InvalidInputError, UnavailableError } from '../../shared/app-error.js';
import { fieldErrors } from '../../shared/field-errors.js';
import { logFailure } from '../../shared/log-failure.js';
import type { Connection } from '../connections/realtime.connection.js';
import { Messages } from '../messages/messages.service.js';
import { Presence } from '../presence/presence.service.js';
import {
  type Answer,
  type RealtimeErrorCode,
  type Recovery,
  type Refreshed,
  type Refusal,
  type RequestAnswer,
  type RequestName,
  type RequestPayload,
  REQUESTS,
  type Subscribed,
} from '../protocol.js';
import { MAX_LAST_OF_REQUEST, type TopicWithLast } from '../subscribed-topic.js';
import { type ReplayRequest, ReplayService } from '../resume/replay.service.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { written } from '../topic.js';

/** Carries out each request; throws an AppError to refuse. The result is sent with `ok: true`. */
type Handlers = {
  [Name in RequestName]: (
    connection: Connection,
    payload: RequestPayload<Name>,
  ) => RequestAnswer<Name> | Promise<RequestAnswer<Name>>;
};

/** Carries out the requests of clients, for all transports. */
@Injectable()
export class Requests {
  private readonly logger = new Logger(Requests.name);
  private readonly handlers: Handlers;
  /** Refreshes of one connection run one after the other, so that the last token counts. */
  private readonly refreshing = new WeakMap<Connection, Promise<unknown>>();

  constructor(
    private readonly subscriptions: Subscriptions,
    private readonly replay: ReplayService,
    private readonly authenticator: Authenticator,
    messages: Messages,
    presence: Presence,
  ) {
    this.handlers = {
      subscribe: (connection, payload) => this.subscribe(connection, payload),
      unsubscribe: (connection, payload) => this.unsubscribe(connection, payload),
      ping,
      broadcast: (connection, payload) => messages.broadcast(connection, payload),
      private: (connection, payload) => messages.private(connection, payload),
      chat: (connection, payload) => messages.chat(connection, payload),
      message: (connection, payload) =>
        payload.kind === 'text'
          ? messages.text(connection, payload.text)
          : this.carryOut(connection, payload.name, payload.payload),
      presence: (connection, payload) => presence.present(connection, payload),
      'auth:refresh': (connection, payload) => this.refreshInTurn(connection, payload),
    };
  }

  /**
   * Carries out one request. Never throws; answers synchronously unless it has to wait for a store or
   * another node. Undefined: no answer, because the connection is being closed.
   */
  answer(
    connection: Connection,
    name: unknown,
    payload: unknown,
  ): Answer | Promise<Answer> | undefined {
    if (!connection.isOpen) return undefined;
    const refusal = this.admit(connection);
    if (refusal) return connection.isOpen ? { ok: false, error: refusal } : undefined;
    if (!isRequestName(name)) return refused('unknown_event', 'There is no event of this name.');
    try {
      const result = this.carryOut(connection, name, payload);
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
   * Whether the connection may send a message now. Also for messages that are no request.
   *
   * @returns why not
   */
  admit(connection: Connection): Refusal | undefined {
    connection.receivedMessages++;
    const nowMs = performance.now();
    const retryAfterMs = connection.budget.take(nowMs);
    if (retryAfterMs === 0) return undefined;
    if (connection.budget.refuse(nowMs)) connection.close('rate_limited');
    return {
      code: 'rate_limited' satisfies RealtimeErrorCode,
      message: `Too many messages. The next one is taken in ${retryAfterMs} ms.`,
      retryAfterMs,
      remaining: connection.budget.remaining,
    };
  }

  private carryOut<Name extends RequestName>(
    connection: Connection,
    name: Name,
    payload: unknown,
  ): RequestAnswer<Name> | Promise<RequestAnswer<Name>> {
    return this.handlers[name](connection, parsePayload(name, payload));
  }

  private async subscribe(
    connection: Connection,
    { topics: requested, after, last }: RequestPayload<'subscribe'>,
  ): Promise<RequestAnswer<'subscribe'>> {
    const newest = requested.map((item) => ({ topic: item.topic, last: item.last ?? last }));
    requireFew(newest);
    const topics = requested.map(({ topic }) => topic);
    const join = () => this.subscriptions.add(connection, topics);
    if (after !== undefined) {
      return this.resume({ connection, topics, after, join, last: newest });
    }
    if (newest.some((item) => item.last !== undefined)) {
      this.subscriptions.check(connection.principal, topics, connection.topics);
      const sent = await this.replay.last({ connection, join, last: newest });
      return { ...subscribed(connection), ...sent };
    }
    const position = await this.replay.begin(join);
    return { ...subscribed(connection), ...(position !== undefined && { position }) };
  }

  private async resume(request: ReplayRequest): Promise<Subscribed & Recovery> {
    const { connection, topics } = request;
    this.subscriptions.check(connection.principal, topics, connection.topics);
    const recovery = await this.replay.replay(request);
    return { ...subscribed(connection), ...recovery };
  }

  private unsubscribe(
    connection: Connection,
    { topics }: RequestPayload<'unsubscribe'>,
  ): Subscribed {
    this.subscriptions.remove(connection, topics);
    return subscribed(connection);
  }

  private refreshInTurn(
    connection: Connection,
    { token }: RequestPayload<'auth:refresh'>,
  ): Promise<Refreshed> {
    const previous = this.refreshing.get(connection) ?? Promise.resolve();
    const refreshed = previous.then(() => this.refresh(connection, token));
    this.refreshing.set(
      connection,
      refreshed.catch(() => undefined),
    );
    return refreshed;
  }

  private async refresh(connection: Connection, token: string): Promise<Refreshed> {
    const credentials = credentialOf(token);
    const principal = await this.authenticator.authenticate(credentials);
    if (userKey(principal) !== userKey(connection.principal)) {
      const detail = isGuest(connection.principal)
        ? 'This connection is that of a guest and stays so. Connect again with the token.'
        : 'The token belongs to another user than the connection.';
      throw new AppError('forbidden', 'forbidden' satisfies RealtimeErrorCode, detail);
    }
    requireAbility(principal, 'events:receive');
    connection.apiKey = credentials.apiKey;
    const dropped = this.subscriptions.rebind(connection, principal);
    return {
      ...subscribed(connection),
      dropped: dropped.map(written),
      expiresAt: endOf(principal),
    };
  }

  private failed(error: unknown): Answer {
    if (error instanceof AppError) return refused(error.code, error.detail);
    if (isStoreOutage(error)) {
      logFailure(this.logger, 'warn', 'a request failed because a store does not answer', error);
      return this.failed(new UnavailableError('A store does not answer at the moment. Try again.'));
    }
    logFailure(this.logger, 'error', 'a request failed', error);
    return refused('internal_error', 'The server failed to do this.');
  }
}

/** @throws InvalidInputError for more past events than one request may ask for */
function requireFew(topics: readonly TopicWithLast[]): void {
  const total = topics.reduce((sum, { last = 0 }) => sum + last, 0);
  if (total <= MAX_LAST_OF_REQUEST) return;
  throw InvalidInputError.at(
    'last',
    `must be at most ${MAX_LAST_OF_REQUEST} for all topics together`,
  );
}

/** Null: an API key without an end. */
const endOf = ({ expiresAtMs }: Principal): string | null =>
  expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString();

const isRequestName = (name: unknown): name is RequestName =>
  typeof name === 'string' && Object.hasOwn(REQUESTS, name);

function ping(connection: Connection): RequestAnswer<'ping'> {
  connection.notify('pong', { serverTime: new Date().toISOString() });
  return {};
}

const refused = (code: string, message: string): Answer => ({
  ok: false,
  error: { code, message },
});

const subscribed = ({ topics }: Connection): Subscribed => ({
  topics: [...topics.values()].map(written),
});

/** What a fault of the payload as a whole is called, which has no field name. */
const WHOLE = { field: 'payload', message: 'is not readable' };

/** @throws InvalidInputError that names the first invalid field */
function parsePayload<Name extends RequestName>(
  name: Name,
  payload: unknown,
): RequestPayload<Name> {
  const schema: z.ZodType = REQUESTS[name].payload;
  const parsed = schema.safeParse(payload);
  if (parsed.success) return parsed.data as RequestPayload<Name>;
  const issues = parsed.error.issues.map((issue) =>
    issue.path.length > 0 || 'keys' in issue ? issue : { ...issue, path: [WHOLE.field] },
  );
  const [{ field, message } = WHOLE] = fieldErrors(issues);
  throw InvalidInputError.at(field, message);
}
