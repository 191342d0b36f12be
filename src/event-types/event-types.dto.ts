import { z } from 'zod';
import { PageQuery, pageOf } from '../shared/pagination.js';
import { PRIORITIES } from '../shared/envelope.js';
import { eventType, plainText, timestamp } from '../shared/zod-fields.js';
import type { EventTypeEntity } from '../database/entities/event-type.entity.js';
import type { SystemEventType } from '../shared/event-pattern.js';
import { BUILT_IN_TYPES, TRANSPORTS } from './event-type.js';
import {
  type JsonSchema,
  MAX_PATTERN_STATES,
  MAX_SCHEMA_BYTES,
  schemaIssues,
} from './data-schema.js';
import { MAX_ALTERNATIVES, MAX_SUBSCHEMAS } from './schema-structure.js';
import { MAX_STATES } from './linear-pattern.js';

const MIN_COALESCE_MS = 10;
const MAX_COALESCE_MS = 60_000;

const DataSchemaInput = z
  .custom<JsonSchema>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    { error: 'must be a JSON Schema, as an object', abort: true },
  )
  .superRefine((schema, context) => {
    for (const { path = [], message } of schemaIssues(schema)) {
      context.addIssue({ code: 'custom', path: path as PropertyKey[], message });
    }
  })
  .meta({
    type: 'object',
    description:
      'JSON Schema (draft 2020-12) of `data`: an event of this type that does not fit is refused ' +
      `when it is published. At most ${MAX_SCHEMA_BYTES} bytes, ${MAX_SUBSCHEMAS} ` +
      `sub-schemas, and ${MAX_ALTERNATIVES} entries of one \`oneOf\` or the like. References stay ` +
      'inside (`#/$defs/…`), and must not lead back to themselves for the same value. Formats are checked. Patterns are regular expressions of ECMA-262 with the ' +
      'flag `u`, matched in linear time; not supported are look-around, back-references, ' +
      'modifiers, halves of surrogate pairs, and `\\p{…}` other than categories by their short ' +
      'names (`\\p{Lu}`) and scripts by their long ones (`\\p{Script=Greek}`). A pattern has at ' +
      `most ${MAX_STATES} states, with counted repetitions written out (\`.{0,99}\` has about ` +
      'a hundred; for the length of a text use `maxLength`), and the patterns of a schema at most ' +
      `${MAX_PATTERN_STATES}. An event whose check takes too much work is refused.`,
    examples: [
      {
        type: 'object',
        required: ['tradeId'],
        properties: { tradeId: { type: 'string' }, quantity: { type: 'integer', minimum: 1 } },
      },
    ],
  });

const Name = eventType
  .describe('The event type, e.g. `trade.submitted`.')
  .meta({ examples: ['trade.submitted'] });

const Coalesce = z
  .strictObject({
    intervalMs: z
      .int()
      .min(MIN_COALESCE_MS)
      .max(MAX_COALESCE_MS)
      .describe(`In milliseconds, ${MIN_COALESCE_MS} to ${MAX_COALESCE_MS}.`),
  })
  .meta({ id: 'Coalesce', examples: [{ intervalMs: 100 }] });

const settings = {
  description: plainText(1_000)
    .nullish()
    .describe('What the type means, for readers.')
    .meta({ examples: ['A trader has submitted a trade.'] }),
  schema: DataSchemaInput.nullish().describe('JSON Schema of `data`; absent or null: any data.'),
  priority: z
    .enum(PRIORITIES)
    .default('normal')
    .describe('Of events that are published without a priority of their own.'),
  transports: z
    .array(z.enum(TRANSPORTS))
    .min(1)
    .transform((names) => TRANSPORTS.filter((name) => names.includes(name)))
    .optional()
    .describe(
      'How its events are delivered. Absent: both ways; sockets only, if it is not durable. An ' +
        'event that is not delivered to webhooks is stored in the log, too.',
    )
    .meta({ examples: [['webhook', 'socket']] }),
  durable: z
    .boolean()
    .default(true)
    .describe(
      'False: for values that change many times a second. Events are sent once, to the sockets ' +
        'that are subscribed at that moment, marked `"transient": true`; they are not stored, not ' +
        'sent to webhooks and never resent.',
    ),
  coalesce: Coalesce.nullish().describe(
    'Only if not durable: of the events of one owner about one subject within the interval, only ' +
      'the latest is sent. Each process that accepts events has its own interval.',
  ),
  channel: eventType
    .nullish()
    .describe(
      'A name under which live clients find its events: the topic `{channel, subject?}`, or ' +
        '`/ws/{channel}`, is all types with this channel. Written like an event type, and not the ' +
        'name of one.',
    )
    .meta({ examples: ['trades'] }),
};

interface Settings {
  durable: boolean;
  transports?: string[] | undefined;
  coalesce?: object | null | undefined;
}

/** Rules that involve two fields. */
function checkTogether(
  { durable, transports, coalesce }: Settings,
  context: z.RefinementCtx,
): void {
  const refuse = (field: string, message: string) =>
    context.addIssue({ code: 'custom', path: [field], message });
  if (!durable && transports?.includes('webhook')) {
    refuse('transports', 'must be sockets only: an event that is not durable cannot be delivered');
  }
  if (durable && coalesce) {
    refuse('coalesce', 'is for types that are not durable: every event in the log is sent');
  }
}

const EXAMPLE = {
  description: 'A trader has submitted a trade.',
  schema: { type: 'object', required: ['tradeId'] },
  priority: 'high' as const,
};

export const CreateEventType = z
  .strictObject({ name: Name, ...settings })
  .superRefine(checkTogether)
  .meta({ id: 'CreateEventType', examples: [{ name: 'trade.submitted', ...EXAMPLE }] });
export type CreateEventType = z.infer<typeof CreateEventType>;

export const PutEventType = z
  .strictObject(settings)
  .superRefine(checkTogether)
  .meta({ id: 'PutEventType', examples: [EXAMPLE] });
export type PutEventType = z.infer<typeof PutEventType>;

export const EventTypeQuery = PageQuery;
export type EventTypeQuery = z.infer<typeof EventTypeQuery>;

export const EventTypeResponse = z
  .object({
    name: z.string().describe('The event type.'),
    description: z.string().nullable().describe('What it means.'),
    schema: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('JSON Schema of `data`, as it was given; null: any data.'),
    priority: z
      .enum(PRIORITIES)
      .describe('Of events that are published without a priority of their own.'),
    transports: z.array(z.enum(TRANSPORTS)).describe('How its events are delivered.'),
    durable: z.boolean().describe('False: sent once, to sockets only, and not stored.'),
    coalesce: Coalesce.nullable().describe('Null: every event is sent.'),
    channel: z
      .string()
      .nullable()
      .describe('Under which live clients find its events; null: under its own name only.'),
    builtIn: z
      .boolean()
      .describe('True: the system publishes it about itself; it cannot be changed.'),
    createdAt: timestamp.nullable().describe('Null for a built-in type.'),
    updatedAt: timestamp.nullable().describe('Null for a built-in type.'),
  })
  .meta({
    id: 'EventType',
    examples: [
      {
        name: 'trade.submitted',
        ...EXAMPLE,
        transports: ['webhook', 'socket'],
        durable: true,
        coalesce: null,
        channel: 'trades',
        builtIn: false,
        createdAt: '2026-01-31T12:00:00.000Z',
        updatedAt: '2026-01-31T12:00:00.000Z',
      },
    ],
  });
export type EventTypeResponse = z.infer<typeof EventTypeResponse>;

export const EventTypePage = pageOf(EventTypeResponse).meta({ id: 'EventTypePage' });

export const toEventTypeResponse = (row: EventTypeEntity): EventTypeResponse => ({
  name: row.name,
  description: row.description,
  schema: row.schema === null ? null : (JSON.parse(row.schema) as JsonSchema),
  priority: row.priority,
  transports: row.transports,
  durable: row.durable,
  coalesce: row.coalesceMs === null ? null : { intervalMs: row.coalesceMs },
  channel: row.channel,
  builtIn: false,
  createdAt: row.createdAt.toISOString(),
  updatedAt: row.updatedAt.toISOString(),
});

export const builtInResponse = (name: SystemEventType): EventTypeResponse => ({
  name,
  description: BUILT_IN_TYPES[name],
  schema: null,
  priority: 'normal',
  transports: [...TRANSPORTS],
  durable: true,
  coalesce: null,
  channel: null,
  builtIn: true,
  createdAt: null,
  updatedAt: null,
});
