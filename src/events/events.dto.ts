import { z } from 'zod';
import { isReservedType } from '../shared/event-pattern.js';
import { jsonProblem } from '../shared/json-values.js';
import { PageQuery, pageOf } from '../shared/pagination.js';
import { PRIORITIES } from '../shared/envelope.js';
import {
  eventPattern,
  eventType,
  exampleId,
  ownerFilter,
  ownerId,
  plainText,
  timestamp,
  timestampInput,
} from '../shared/zod-fields.js';
import type { EventEntity } from '../database/entities/event.entity.js';

/** Events of one request. */
export const MAX_BATCH = 1_000;
const MAX_TTL_MS = 30 * 86_400_000;

const Data = z
  .custom<unknown>((value) => value !== undefined, 'is required')
  .superRefine((value, context) => {
    const problem = jsonProblem(value);
    if (problem) context.addIssue({ code: 'custom', ...problem });
  })
  .meta({
    description:
      'What happened: any JSON value, at most 64 levels deep and, with the rest of the envelope, ' +
      '256 KiB. Delivered as it is written, without white space. Refused are numbers that a double ' +
      'cannot hold (send them as strings), integers beyond ±(2^53-1), names that occur twice in an ' +
      'object, NUL and lone surrogates.',
    examples: [{ tradeId: 'T-1', quantity: 10 }],
  });

export const PublishEvent = z
  .strictObject({
    type: eventType
      .refine((type) => !isReservedType(type), 'is published by the system alone')
      .describe(
        'Dotted name of what happened, e.g. `trade.submitted`; not one of the types that the ' +
          'system publishes about itself.',
      )
      .meta({ examples: ['trade.submitted'] }),
    data: Data,
    subject: plainText(256)
      .optional()
      .describe(
        'What the event is about, e.g. `snft:123`, up to 256 characters; live clients can subscribe ' +
          'to one subject.',
      )
      .meta({ examples: ['AAPL'] }),
    source: plainText(256)
      .optional()
      .describe('Where it comes from, e.g. `orders-service`; up to 256 characters.'),
    timestamp: timestampInput
      .optional()
      .describe('When it happened, RFC 3339. Absent: when it is accepted.'),
    ownerId: ownerId
      .optional()
      .describe(
        'Whose event it is. A publisher publishes its own; an admin or producer may name any owner, or none ' +
          'for a public event, which every owner receives.',
      ),
    priority: z
      .enum(PRIORITIES)
      .optional()
      .describe(
        'Which deliveries to one webhook go first; none is ever starved. Absent: as the catalogue ' +
          'says of the type, else `normal`.',
      ),
    ttlMs: z
      .int()
      .min(1)
      .max(MAX_TTL_MS)
      .optional()
      .describe(
        'Milliseconds, 1 to 30 days, after which it is not delivered any more (dead letter ' +
          '`expired`). Absent: as long as there are retries.',
      ),
  })
  .meta({
    id: 'PublishEvent',
    examples: [
      { type: 'trade.submitted', subject: 'AAPL', data: { tradeId: 'T-1', quantity: 10 } },
    ],
  });
/** An event as a caller gives it. */
export type NewEvent = z.input<typeof PublishEvent>;
export type PublishEvent = z.output<typeof PublishEvent>;

export const PublishBatch = z
  .strictObject({
    events: z
      .array(PublishEvent)
      .min(1)
      .max(MAX_BATCH)
      .describe('1 to 1000 events; all are accepted, or none.'),
  })
  .meta({
    id: 'PublishBatch',
    examples: [
      {
        events: [
          { type: 'trade.submitted', subject: 'AAPL', data: { tradeId: 'T-1' } },
          { type: 'trade.settled', subject: 'AAPL', data: { tradeId: 'T-1' } },
        ],
      },
    ],
  });
export type PublishBatch = z.output<typeof PublishBatch>;

/** For the examples. */
const TIME = '2026-01-31T12:00:00.000Z';

export const PublishedEvent = z
  .object({
    id: z.string().describe('`evt_…`: the id that every webhook and live client receives.'),
    type: z.string().describe('As it was published.'),
    timestamp: timestamp.describe('When it happened.'),
    duplicate: z
      .boolean()
      .describe(
        'True: accepted earlier under the same Idempotency-Key; nothing was published now.',
      ),
    durable: z
      .literal(false)
      .optional()
      .describe(
        'False where the catalogue says that the type is not durable: the event was sent to the ' +
          'live clients that are subscribed, and is not in the log. Priority and ttlMs have no ' +
          'effect. Absent: committed.',
      ),
  })
  .meta({
    id: 'PublishedEvent',
    examples: [
      { id: exampleId('evt'), type: 'trade.submitted', timestamp: TIME, duplicate: false },
    ],
  });
export type PublishedEvent = z.infer<typeof PublishedEvent>;

export const PublishedBatch = z
  .object({
    ids: z.array(z.string()).describe('In the order of the request.'),
    accepted: z.int().describe('The number of events.'),
    duplicate: z.boolean().describe('True: accepted earlier under the same Idempotency-Key.'),
    transientIds: z
      .array(z.string())
      .optional()
      .describe(
        'Ids of events whose types are not durable; they are not in the log. Absent: none.',
      ),
  })
  .meta({
    id: 'PublishedBatch',
    examples: [{ ids: [exampleId('evt')], accepted: 1, duplicate: false }],
  });
export type PublishedBatch = z.infer<typeof PublishedBatch>;

export const EventQuery = PageQuery.extend({
  ...ownerFilter,
  type: eventPattern
    .optional()
    .describe(
      'Only this type, or types that match this pattern; `*` matches all but system events.',
    ),
  subject: plainText(256).optional().describe('Only events about this subject.'),
  since: timestampInput.optional().describe('Only events accepted at this time or later.'),
  until: timestampInput.optional().describe('Only events accepted before this time.'),
});
export type EventQuery = z.infer<typeof EventQuery>;

export const EventResponse = z
  .object({
    id: z.string().describe('`evt_…`, sortable by time of acceptance.'),
    type: z.string().describe('What happened.'),
    timestamp: timestamp.describe('When it happened.'),
    subject: z.string().optional().describe('What it is about.'),
    source: z.string().optional().describe('Where it comes from.'),
    data: z.unknown().describe('As it was published.'),
    ownerId: z.string().nullable().describe('Null: a public event.'),
    priority: z.enum(PRIORITIES).describe('Which deliveries to one webhook go first.'),
    expiresAt: timestamp.nullable().describe('Not delivered any more from then on; null: never.'),
    createdAt: timestamp.describe('When it was accepted.'),
  })
  .meta({
    id: 'Event',
    examples: [
      {
        id: exampleId('evt'),
        type: 'trade.submitted',
        timestamp: TIME,
        subject: 'AAPL',
        data: { tradeId: 'T-1', quantity: 10 },
        ownerId: 'acme',
        priority: 'normal',
        expiresAt: null,
        createdAt: TIME,
      },
    ],
  });
export type EventResponse = z.infer<typeof EventResponse>;

export const EventPage = pageOf(EventResponse).meta({ id: 'EventPage' });

export function toEventResponse(event: EventEntity): EventResponse {
  const envelope = JSON.parse(event.body) as Pick<
    EventResponse,
    'id' | 'type' | 'timestamp' | 'subject' | 'source' | 'data'
  >;
  return {
    ...envelope,
    ownerId: event.ownerId,
    priority: PRIORITIES[event.priority] ?? 'normal',
    expiresAt: event.expiresAt?.toISOString() ?? null,
    createdAt: event.createdAt.toISOString(),
  };
}
