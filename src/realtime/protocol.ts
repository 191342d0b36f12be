/**
 * Every frame of the live connections, for all transports: requests of clients with their answers,
 * and notices of the server. The schemas validate requests, give the types, and are what the
 * AsyncAPI document is made of.
 */
import { z } from 'zod';
import type { Envelope } from '../shared/envelope.js';
import { jsonProblem } from '../shared/json-values.js';
import { eventType, exampleId, plainText, timestamp } from '../shared/zod-fields.js';
import { MAX_TOPICS } from './limits.js';
import { messageFrame } from './message-frame.js';
import {
  lastCount,
  MAX_LAST_OF_REQUEST,
  subscribedTopic,
  topicWithLast,
} from './subscribed-topic.js';
import { POSITION, POSITION_EXAMPLE, resumeAfter } from './resume-after.js';
import { topicInput, writtenTopic } from './topic.js';

const TIME = '2026-01-31T12:00:00.000Z';

/** As long as the subject of a topic, which a room is. */
const MAX_ROOM_LENGTH = 256;
/** More than any owner or connection id has. */
const MAX_RECIPIENT_LENGTH = 128;

const recipient = plainText(MAX_RECIPIENT_LENGTH);
const count = z.int().min(0);
const clientIdGiven = z
  .string()
  .optional()
  .describe('The name that the client gave itself; absent: none.');
const anyJson = z.unknown().describe('Any JSON.');

/** The codes of our own refusals; those of authentication come with its errors. */
export type RealtimeErrorCode =
  /** The frame does not match the schema of its event; the message names the field. */
  | 'invalid_input'
  /** The credential does not allow this topic, or belongs to another owner. */
  | 'forbidden'
  | 'too_many_topics'
  /** There is no event of this name. */
  | 'unknown_event'
  /** Too many messages; `retryAfterMs` says when the next one is accepted. */
  | 'rate_limited'
  /** A fault of the server, which is in its log. */
  | 'internal_error';

/** Why something was not done. */
export const Refusal = z
  .object({
    code: z.string().describe('Stable name of what went wrong.'),
    message: z.string().describe('One sentence for a person.'),
    retryAfterMs: z.number().optional().describe('Of `rate_limited`: when the next is accepted.'),
    remaining: z.number().optional().describe('Of `rate_limited`: what is left of the budget.'),
  })
  .meta({
    id: 'Refusal',
    examples: [{ code: 'unknown_event', message: 'There is no such event.' }],
  });
export type Refusal = z.output<typeof Refusal>;

/** What a client gets as acknowledgement of a request. */
export type Answer<T extends object = object> = ({ ok: true } & T) | { ok: false; error: Refusal };

/** An event as it is sent. Its text is made once, when it is published; this only describes it. */
export const EnvelopeSchema = z
  .object({
    id: z.string().describe('`evt_…`: the same everywhere. A client that sees it twice drops one.'),
    type: eventType.describe('What happened.'),
    timestamp: timestamp.describe('When it happened.'),
    subject: z.string().optional().describe('What it is about.'),
    source: z.string().optional().describe('Where it comes from.'),
    ownerId: z.string().optional().describe('Only for admins and operators; absent: it is public.'),
    transient: z
      .literal(true)
      .optional()
      .describe(
        'Its type is not durable: it is sent once, is not in the log, and a client cannot resume ' +
          'after its id (`after`, `Last-Event-ID`).',
      ),
    data: anyJson,
  })
  .meta({
    id: 'Envelope',
    description: 'An event, as webhooks receive it, too.',
    examples: [
      {
        id: exampleId('evt'),
        type: 'trade.submitted',
        timestamp: TIME,
        subject: 'AAPL',
        data: { n: 1 },
      },
    ],
  }) satisfies z.ZodType<Envelope>;

/** All topics of the connection, as they are after the request. */
const Subscribed = z.object({
  topics: z.array(writtenTopic).describe('All topics of the connection, as they are now.'),
});
export type Subscribed = z.output<typeof Subscribed>;

/** The result of a resume. */
const Recovery = z.object({
  recovered: z.boolean().describe('False: the log does not reach back that far any more.'),
  replayed: count.describe('Missed events that were sent.'),
  position: POSITION.resumed,
});
export type Recovery = z.output<typeof Recovery>;

const Refreshed = Subscribed.extend({
  dropped: z
    .array(writtenTopic)
    .describe('Topics that the new token does not allow, and that were removed.'),
  expiresAt: timestamp
    .nullable()
    .describe('When the new credential ends; null: an API key that has no end.'),
});
export type Refreshed = z.output<typeof Refreshed>;

const Delivered = z.object({
  delivered: count.describe('Connections of the answering node that it was sent to.'),
});
export type Delivered = z.output<typeof Delivered>;

/** A connection that is subscribed to a topic. */
export const Member = z
  .object({
    connectionId: z.string().describe('`con_…`'),
    userId: z.string().describe('The user that its credential belongs to.'),
    clientId: clientIdGiven,
    since: timestamp.describe('When it subscribed.'),
  })
  .meta({ id: 'Member', description: 'A connection that is subscribed to a topic.' });
export type Member = z.output<typeof Member>;

const Present = z.object({
  topic: writtenTopic,
  members: z.array(Member).describe('The oldest first.'),
  count: count.describe('How many there are.'),
  truncated: z.boolean().describe('There are more than are listed.'),
  complete: z.boolean().describe('False: some node did not answer in time.'),
});
export type Present = z.output<typeof Present>;

/** A message of one client, or of the operator, to others. */
export const Message = z.object({
  kind: z.enum(['broadcast', 'private', 'chat']).describe('To all, to one, or to a room.'),
  from: z.object({
    userId: z.string().describe('The user who sent it.'),
    connectionId: z.string().optional().describe('Absent: the operator.'),
    clientId: clientIdGiven,
  }),
  room: z.string().optional().describe('Of `chat`; absent: all connections of the owner.'),
  message: anyJson,
  timestamp: timestamp.describe('When it was sent.'),
});
export type Message = z.output<typeof Message>;

/** Any JSON that every receiver can read unchanged; the size of the frame limits how large it is. */
export const messageContent = z
  .custom<unknown>((value) => value !== undefined, 'is required')
  .superRefine((value, context) => {
    const problem = jsonProblem(value);
    if (problem) context.addIssue({ code: 'custom', ...problem });
  })
  .describe('Any JSON.');

const echo = z
  .boolean()
  .optional()
  .describe('False: to all but the connection that sends it. Default: true.');

/** What `connected` says of the limits; the first five are settings. */
const Limits = z.object({
  topics: count.describe('Topics of one connection.'),
  maxPayloadBytes: count.describe('Of a frame that a client sends.'),
  messagesPerSecond: z.number().describe('That a client sends, in the long run.'),
  messageBurst: z.number().describe('That it sends at once after a pause.'),
  connectionsPerIp: count.describe('Of one address, to this node.'),
  connectionsPerUser: count.describe('Of one user, to this node.'),
  connectionsPerTenant: count.describe('Of one tenant, to this node.'),
  connections: count.describe('Of all, to this node; to a guest: of all guests.'),
});
export type Limits = z.output<typeof Limits>;

/** What the path of a plain WebSocket names. */
const Target = z
  .union([
    z.object({ channel: z.string(), subject: z.string().optional() }),
    z.object({ type: z.string(), subject: z.string().optional() }),
    z.object({ clientId: z.string() }),
  ])
  .describe(
    'What the path after `/ws/` was: a channel of the catalogue, an event type, or else a client id. ' +
      'Absent: there was none.',
  );
export type Target = z.output<typeof Target>;

const topics = z
  // Counted before each is read: a frame full of nonsense is refused once, not thousands of times.
  .array(writtenTopic)
  .min(1)
  .max(MAX_TOPICS)
  .describe('All are added, or none.')
  .pipe(z.array(topicInput));

const subscribedTopics = z
  .array(subscribedTopic)
  .min(1)
  .max(MAX_TOPICS)
  .describe('All are added, or none.')
  .pipe(z.array(topicWithLast))
  .describe(`All are added, or none. All \`last\` together are at most ${MAX_LAST_OF_REQUEST}.`);

/** What a client asks for, and the answer beside `ok`. */
export interface RequestDescription {
  summary: string;
  payload: z.ZodType;
  answer: z.ZodType;
  examples: object[];
}

export const REQUESTS = {
  subscribe: {
    summary: 'Adds topics; with `after`, missed events come first; with `last`, the newest ones.',
    payload: z.strictObject({
      topics: subscribedTopics,
      after: resumeAfter
        .optional()
        .describe('The last event that the client has received, or a `position`.'),
      last: lastCount
        .optional()
        .describe(
          'The newest events that come first, of each topic that names no `last` itself. With ' +
            '`after`: only if the log does not reach back that far any more.',
        ),
    }),
    answer: Subscribed.extend({
      recovered: z
        .boolean()
        .optional()
        .describe('After `after`. False: the log does not reach back that far any more.'),
      replayed: count.optional().describe('After `after` or `last`: past events that were sent.'),
      truncated: z
        .boolean()
        .optional()
        .describe('After `last`. True: there may be older ones, further back than is searched.'),
      position: POSITION.subscribed,
    }),
    examples: [{ topics: ['trade.*', { type: 'snft.price_changed', subject: 'snft:123' }] }],
  },
  unsubscribe: {
    summary: 'Removes topics.',
    payload: z.strictObject({ topics }),
    answer: Subscribed,
    examples: [{ topics: ['trade.*'] }],
  },
  ping: {
    summary: 'Asks whether the server is there; `pong` comes as well as the answer.',
    payload: z.strictObject({}).optional(),
    answer: z.object({}),
    examples: [{}],
  },
  broadcast: {
    summary: 'Sends a message to every connection that may receive it.',
    payload: z.strictObject({ message: messageContent, echo }),
    answer: Delivered,
    examples: [{ message: { text: 'Hello.' } }],
  },
  private: {
    summary: 'Sends a message to a user, a client id or a connection.',
    payload: z.strictObject({
      to: z
        .union([
          recipient,
          z.strictObject({ userId: recipient }),
          z.strictObject({ clientId: recipient }),
          z.strictObject({ connectionId: recipient }),
        ])
        .describe(
          'The id of a user of the tenant, of a connection, or a client id; all that match. A client ' +
            'chooses its id itself: to reach a user and no other, name the `userId`.',
        ),
      message: messageContent,
    }),
    answer: Delivered,
    examples: [{ to: exampleId('con'), message: 'Hello.' }],
  },
  chat: {
    summary: 'Sends a message to a room, or to all connections of the owner.',
    payload: z.strictObject({
      room: plainText(MAX_ROOM_LENGTH).optional(),
      message: messageContent,
      echo,
    }),
    answer: Delivered,
    examples: [{ room: 'lobby', message: 'Hello.' }],
  },
  message: {
    summary: 'Sends a message in the form of chat clients: a text, or an object without `type`.',
    payload: messageFrame,
    answer: z.object({ delivered: count.optional().describe('Absent: of `ping`.') }),
    examples: [
      { message: 'Hello.', message_type: 'chat' },
      { message: 'Hello.', message_type: 'private', to: exampleId('con') },
    ],
  },
  presence: {
    summary: 'Asks who is subscribed to a topic.',
    payload: z.strictObject({
      topic: topicInput,
      watch: z
        .boolean()
        .optional()
        .describe('True: changes are sent as `presence`; false: no longer.'),
    }),
    answer: Present,
    examples: [{ topic: 'trade.*', watch: true }],
  },
  'auth:refresh': {
    summary: 'Brings a new token before the present one ends.',
    payload: z.strictObject({ token: z.string().min(1).describe('A token, or an API key.') }),
    answer: Refreshed,
    examples: [{ token: 'eyJhbGciOi…' }],
  },
} satisfies Record<string, RequestDescription>;

export type RequestName = keyof typeof REQUESTS;
/** A request after validation. */
export type RequestPayload<Name extends RequestName> = z.output<(typeof REQUESTS)[Name]['payload']>;
export type RequestAnswer<Name extends RequestName> = z.output<(typeof REQUESTS)[Name]['answer']>;

/** What the server sends unasked, besides events. */
export interface NoticeDescription {
  summary: string;
  payload: z.ZodType;
  examples: object[];
}

export const NOTICES = {
  connected: {
    summary: 'The first frame: who the client is, and what it may do.',
    payload: z.object({
      connectionId: z.string().describe('`con_…`'),
      userId: z.string().describe('The user that the credential belongs to.'),
      serverTime: timestamp.describe('The clock of the server.'),
      heartbeatMs: z.number().describe('How often the server sends a heartbeat.'),
      limits: Limits,
      clientId: clientIdGiven,
      duplicateClientId: z
        .literal(true)
        .optional()
        .describe(
          'Another connection of the tenant has this client id. With `replace` the client would have ' +
            'taken over those of its user.',
        ),
      target: Target.optional(),
      position: POSITION.connected,
    }),
    examples: [
      {
        connectionId: exampleId('con'),
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
          connectionsPerTenant: 5_000,
          connections: 20_000,
        },
        position: POSITION_EXAMPLE,
      },
    ],
  },
  pong: {
    summary: 'Follows `ping`.',
    payload: z.object({ serverTime: timestamp.describe('The clock of the server.') }),
    examples: [{ serverTime: TIME }],
  },
  error: {
    summary: 'Something went wrong; it also comes before the server ends the connection.',
    payload: Refusal.extend({
      reconnect: z.boolean().describe('Whether the client should connect again.'),
    }),
    examples: [{ code: 'token_expired', message: 'The token has expired.', reconnect: true }],
  },
  draining: {
    summary: 'The server is about to stop.',
    payload: z.object({
      reconnectInMs: z.number().describe('When to connect again; different for each client.'),
    }),
    examples: [{ reconnectInMs: 1_200 }],
  },
  message: {
    summary: 'A message of another client, or of the operator.',
    payload: Message,
    examples: [{ kind: 'broadcast', from: { userId: 'acme' }, message: 'Hello.', timestamp: TIME }],
  },
  presence: {
    summary: 'Who has subscribed to a watched topic, and who has left it.',
    payload: z.object({
      topic: writtenTopic,
      joined: z.array(Member),
      left: z.array(Member),
      truncated: z.boolean().describe('There are more than could be named.'),
    }),
    examples: [
      {
        topic: 'trade.*',
        joined: [{ connectionId: exampleId('con'), userId: 'acme', since: TIME }],
        left: [],
        truncated: false,
      },
    ],
  },
  resumed: {
    summary: 'Event streams only: the result of `Last-Event-ID`, or of `after`.',
    payload: Recovery,
    examples: [{ recovered: true, replayed: 3 }],
  },
} satisfies Record<string, NoticeDescription>;

/** Payloads of the notices by name. */
export type Notices = {
  [Name in keyof typeof NOTICES]: z.output<(typeof NOTICES)[Name]['payload']>;
};
