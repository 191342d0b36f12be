/**
 * Every frame of the live connections as a schema, under the name that it has there. The types come
 * from the sockets themselves: a name that is missing here, or a payload that is another one, does
 * not compile.
 */
import { z } from 'zod';
import type { Envelope } from '../shared/envelope.js';
import { eventPattern, eventType, exampleId, plainText, timestamp } from '../shared/zod-fields.js';
import { MAX_TOPICS } from '../realtime/limits.js';
import type { Answer, ClientToServer, Notices, Refusal } from '../realtime/realtime-events.js';
import type { WrittenTopic } from '../realtime/subscriptions/topic.js';

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

/** The schema, if its type is this one. */
const exactly =
  <T>() =>
  <S extends z.ZodType>(schema: S & (Same<z.output<S>, T> extends true ? unknown : never)): S =>
    schema;

const EVENT_ID = exampleId('evt');
const CONNECTION_ID = exampleId('con');
const TIME = '2026-01-31T12:00:00.000Z';

const Topic = exactly<WrittenTopic>()(
  z.union([eventPattern, z.strictObject({ type: eventPattern, subject: plainText(256) })]).meta({
    id: 'Topic',
    description: 'A pattern of event types; or with a subject, only events about it.',
    examples: ['trade.*', { type: 'snft.price_changed', subject: 'snft:123' }],
  }),
);

const topics = z.array(Topic).min(1).max(MAX_TOPICS).describe('All are taken, or none.');
const held = z.array(Topic).describe('All topics of the connection, as they are now.');
const count = z.int().min(0);

const anything = z.unknown().describe('Any JSON.');

const Member = z
  .object({
    connectionId: z.string().describe('`con_…`'),
    userId: z.string().describe('The owner that it speaks for.'),
    since: timestamp.describe('When it came.'),
  })
  .meta({ id: 'Member', description: 'A connection that is on a topic.' });

const members = z.array(Member);

export const RefusalSchema = exactly<Refusal>()(
  z
    .object({
      code: z.string().describe('Stable name of what went wrong.'),
      message: z.string().describe('One sentence for a person.'),
      retryAfterMs: z.number().optional().describe('Of `rate_limited`: when the next is taken.'),
      remaining: z.number().optional().describe('Of `rate_limited`: what is left of the budget.'),
    })
    .meta({
      id: 'Refusal',
      examples: [{ code: 'unknown_event', message: 'There is no such event.' }],
    }),
);

export const EnvelopeSchema = exactly<Envelope>()(
  z
    .object({
      id: z.string().describe('`evt_…`: the same everywhere. Whoever sees it twice drops one.'),
      type: eventType.describe('What happened.'),
      timestamp: timestamp.describe('When it happened.'),
      subject: z.string().optional().describe('What it is about.'),
      source: z.string().optional().describe('Where it comes from.'),
      transient: z
        .literal(true)
        .optional()
        .describe(
          'Its type is not durable: it comes once, is not in the log, and its id is no place to ' +
            'resume from (`after`, `Last-Event-ID`).',
        ),
      data: anything,
    })
    .meta({
      id: 'Envelope',
      description: 'An event, as webhooks receive it, too.',
      examples: [
        { id: EVENT_ID, type: 'trade.submitted', timestamp: TIME, subject: 'AAPL', data: { n: 1 } },
      ],
    }),
);

/** What a client asks for, and what it is answered beside `ok`. */
export interface RequestSchema {
  summary: string;
  payload: z.ZodType;
  answer: z.ZodType;
  examples: object[];
}

type PayloadOf<Name extends keyof ClientToServer> = Parameters<ClientToServer[Name]>[0];
type AnswerOf<Name extends keyof ClientToServer> =
  Parameters<Parameters<ClientToServer[Name]>[1]>[0] extends Answer<infer T> ? T : never;

const request =
  <Name extends keyof ClientToServer>() =>
  <P extends z.ZodType, A extends z.ZodType>(
    given: {
      payload: P & (Same<z.output<P>, PayloadOf<Name>> extends true ? unknown : never);
      answer: A & (z.output<A> extends AnswerOf<Name> ? unknown : never);
    } & Pick<RequestSchema, 'summary' | 'examples'>,
  ): RequestSchema =>
    given;

const delivered = z.object({
  delivered: count.describe('Connections of the answering process that it went to.'),
});

export const REQUESTS: { [Name in keyof ClientToServer]: RequestSchema } = {
  subscribe: request<'subscribe'>()({
    summary: 'Adds topics; with `after`, missed events come first.',
    payload: z.strictObject({
      topics,
      after: z.string().optional().describe('The last event that the client has seen.'),
    }),
    answer: z.object({
      topics: held,
      recovered: z
        .boolean()
        .optional()
        .describe('After `after`. False: the log does not reach back that far any more.'),
      replayed: count.optional().describe('After `after`: missed events that were sent.'),
    }),
    examples: [{ topics: ['trade.*', { type: 'snft.price_changed', subject: 'snft:123' }] }],
  }),
  unsubscribe: request<'unsubscribe'>()({
    summary: 'Removes topics.',
    payload: z.strictObject({ topics }),
    answer: z.object({ topics: held }),
    examples: [{ topics: ['trade.*'] }],
  }),
  ping: request<'ping'>()({
    summary: 'Asks whether the server is there; `pong` comes as well as the answer.',
    payload: z.record(z.string(), z.never()),
    answer: z.object({}),
    examples: [{}],
  }),
  broadcast: request<'broadcast'>()({
    summary: 'Says something to every connection that may hear it.',
    payload: z.strictObject({ message: anything }),
    answer: delivered,
    examples: [{ message: { text: 'Hello.' } }],
  }),
  private: request<'private'>()({
    summary: 'Says something to one user or one connection.',
    payload: z.strictObject({
      to: plainText(128).describe('The id of an owner, or of a connection.'),
      message: anything,
    }),
    answer: delivered,
    examples: [{ to: CONNECTION_ID, message: 'Hello.' }],
  }),
  chat: request<'chat'>()({
    summary: 'Says something to a room, or to all connections of the owner.',
    payload: z.strictObject({ room: plainText(256).optional(), message: anything }),
    answer: delivered,
    examples: [{ room: 'lobby', message: 'Hello.' }],
  }),
  presence: request<'presence'>()({
    summary: 'Asks who is on a topic.',
    payload: z.strictObject({
      topic: Topic,
      watch: z
        .boolean()
        .optional()
        .describe('True: changes are told as `presence`; false: no more.'),
    }),
    answer: z.object({
      topic: Topic,
      members: members.describe('The oldest first.'),
      count: count.describe('How many there are.'),
      truncated: z.boolean().describe('There are more than are listed.'),
      complete: z.boolean().describe('False: some process did not say who is there.'),
    }),
    examples: [{ topic: 'trade.*', watch: true }],
  }),
  'auth:refresh': request<'auth:refresh'>()({
    summary: 'Brings a new token before the present one ends.',
    payload: z.strictObject({ token: z.string().min(1) }),
    answer: z.object({
      topics: held,
      dropped: z
        .array(Topic)
        .describe('Topics that the new token may not hear, and that are left.'),
      expiresAt: timestamp.describe('When the new token ends.'),
    }),
    examples: [{ token: 'eyJhbGciOi…' }],
  }),
};

/** What the server says by itself, besides events. */
export interface NoticeSchema {
  summary: string;
  payload: z.ZodType;
  examples: object[];
}

const notice =
  <Name extends keyof Notices>() =>
  <P extends z.ZodType>(
    given: {
      payload: P & (Same<z.output<P>, Notices[Name]> extends true ? unknown : never);
    } & Pick<NoticeSchema, 'summary' | 'examples'>,
  ): NoticeSchema =>
    given;

export const NOTICES: { [Name in keyof Notices]: NoticeSchema } = {
  connected: notice<'connected'>()({
    summary: 'The first frame: who the client is, and what it may do.',
    payload: z.object({
      connectionId: z.string().describe('`con_…`'),
      userId: z.string().describe('The owner that the credential speaks for.'),
      serverTime: timestamp.describe('The clock of the server.'),
      heartbeatMs: z.number().describe('How often the server shows that it is there.'),
      limits: z.object({
        topics: count.describe('Topics of one connection.'),
        maxPayloadBytes: count.describe('Of a frame that a client sends.'),
        messagesPerSecond: z.number().describe('That a client sends, in the long run.'),
        messageBurst: z.number().describe('That it sends at once after a pause.'),
        connectionsPerIp: count.describe('Of one address, to this process.'),
        connectionsPerUser: count.describe('Of one owner, to this process.'),
        connections: count.describe('Of all, to this process.'),
      }),
    }),
    examples: [
      {
        connectionId: CONNECTION_ID,
        userId: 'acme',
        serverTime: TIME,
        heartbeatMs: 25_000,
        limits: {
          topics: MAX_TOPICS,
          maxPayloadBytes: 65_536,
          messagesPerSecond: 50,
          messageBurst: 100,
          connectionsPerIp: 100,
          connectionsPerUser: 100,
          connections: 20_000,
        },
      },
    ],
  }),
  pong: notice<'pong'>()({
    summary: 'Follows `ping`.',
    payload: z.object({ serverTime: timestamp.describe('The clock of the server.') }),
    examples: [{ serverTime: TIME }],
  }),
  error: notice<'error'>()({
    summary: 'Something went wrong; where the connection ends, it says so before.',
    payload: RefusalSchema.extend({
      reconnect: z.boolean().describe('Whether connecting again has a purpose.'),
    }),
    examples: [{ code: 'token_expired', message: 'The token has expired.', reconnect: true }],
  }),
  draining: notice<'draining'>()({
    summary: 'The server is about to stop.',
    payload: z.object({
      reconnectInMs: z.number().describe('When to connect again; different for everybody.'),
    }),
    examples: [{ reconnectInMs: 1_200 }],
  }),
  message: notice<'message'>()({
    summary: 'What somebody else has said.',
    payload: z.object({
      kind: z.enum(['broadcast', 'private', 'chat']).describe('To all, to one, or to a room.'),
      from: z.object({
        userId: z.string().describe('The owner who speaks.'),
        connectionId: z.string().optional().describe('Absent: the operator.'),
      }),
      room: z.string().optional().describe('Of `chat`; absent: all connections of the owner.'),
      message: anything,
      timestamp: timestamp.describe('When it was said.'),
    }),
    examples: [{ kind: 'broadcast', from: { userId: 'acme' }, message: 'Hello.', timestamp: TIME }],
  }),
  presence: notice<'presence'>()({
    summary: 'Who has come to a topic that is watched, and who has left it.',
    payload: z.object({
      topic: Topic,
      joined: members,
      left: members,
      truncated: z.boolean().describe('There are more than could be named.'),
    }),
    examples: [
      {
        topic: 'trade.*',
        joined: [{ connectionId: CONNECTION_ID, userId: 'acme', since: TIME }],
        left: [],
        truncated: false,
      },
    ],
  }),
  resumed: notice<'resumed'>()({
    summary: 'Event streams only: what came of `Last-Event-ID`, or of `after`.',
    payload: z.object({
      recovered: z.boolean().describe('False: the log does not reach back that far any more.'),
      replayed: count.describe('Missed events that were sent.'),
    }),
    examples: [{ recovered: true, replayed: 3 }],
  }),
};
