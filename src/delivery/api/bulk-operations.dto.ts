import { z } from 'zod';
import { AttributionResponse, exampleAttribution } from '../../shared/attribution.js';
import { PageQuery, pageOf } from '../../shared/pagination.js';
import {
  eventPattern,
  exampleId,
  idOf,
  MAX_PATTERNS,
  ownerFilter,
  ownerId,
  timestamp,
  timestampInput,
} from '../../shared/zod-fields.js';
import {
  BULK_OPERATION_KINDS,
  BULK_OPERATION_STATUSES,
  type BulkOperationEntity,
} from '../../database/entities/bulk-operation.entity.js';
import { deadLetterFilters } from './deliveries.dto.js';

/** Most ids that one request may name. */
const MAX_IDS = 1_000;

/** For the examples. */
const TIME = '2026-01-31T12:00:00.000Z';

/** All other deliveries are pending or in flight: they are sent anyway. */
const REPLAYABLE = ['success', 'dead_letter', 'canceled', 'retrying'] as const;

const NO_SELECTION = 'name ids, at least one filter, or all: true';

export const RedriveMany = z
  .strictObject({
    ids: z
      .array(idOf('dlv'))
      .min(1)
      .max(MAX_IDS)
      .optional()
      .describe(
        `Exactly these dead letters (\`dlv_…\`), 1 to ${MAX_IDS}. Those that are no dead letters ` +
          'any more are left out and not counted. Excludes all other fields.',
      ),
    ...deadLetterFilters,
    ownerId: ownerId.optional().describe('Admin only: only those to webhooks of this owner.'),
    all: z.literal(true).optional().describe('Every dead letter; excludes all other fields.'),
  })
  .superRefine((request, context) => {
    const named = Object.entries(request).filter(([, value]) => value !== undefined);
    const isAlone = named.length === 1;
    const refuse = (field: string, message: string) =>
      context.addIssue({ code: 'custom', path: [field], message });
    if (named.length === 0) refuse('all', NO_SELECTION);
    if (request.ids && !isAlone) refuse('ids', 'must stand alone');
    if (request.all && !isAlone) refuse('all', 'must stand alone');
  })
  .meta({
    id: 'RedriveMany',
    examples: [
      { webhookId: exampleId('wh'), type: 'trade.*', since: TIME },
      { ids: [exampleId('dlv')] },
    ],
  });
export type RedriveMany = z.infer<typeof RedriveMany>;

export const ReplayWebhook = z
  .strictObject({
    since: timestampInput.describe('Events accepted at this time or later.'),
    until: timestampInput
      .optional()
      .describe('Events accepted before this time. Absent: up to the moment of the request.'),
    types: z
      .array(eventPattern)
      .min(1)
      .max(MAX_PATTERNS)
      .optional()
      .describe('Only events of these types or patterns.'),
    status: z
      .enum(REPLAYABLE, `must be one of ${REPLAYABLE.join(', ')}: everything else is sent anyway`)
      .optional()
      .describe(
        'Only deliveries in this state. Absent: all deliveries in the range that are final, and ' +
          'events that match the webhook now and have no delivery to it.',
      ),
  })
  .superRefine(({ since, until }, context) => {
    if (until && until <= since) {
      context.addIssue({ code: 'custom', path: ['until'], message: 'must be later than since' });
    }
  })
  .meta({ id: 'ReplayWebhook', examples: [{ since: TIME, types: ['trade.*'] }] });
export type ReplayWebhook = z.infer<typeof ReplayWebhook>;

export const ReplayEvent = z
  .strictObject({
    webhookIds: z
      .array(idOf('wh'))
      .min(1)
      .max(MAX_IDS)
      .optional()
      .describe(
        'Only to these of the webhooks that match the event now or had it. Absent: to all of them ' +
          'that are yours.',
      ),
  })
  .prefault({})
  .meta({ id: 'ReplayEvent', examples: [{ webhookIds: [exampleId('wh')] }] });
export type ReplayEvent = z.infer<typeof ReplayEvent>;

export const OperationsQuery = PageQuery.extend({
  ...ownerFilter,
  status: z.enum(BULK_OPERATION_STATUSES).optional().describe('Only operations in this state.'),
});
export type OperationsQuery = z.infer<typeof OperationsQuery>;

export const OperationResponse = z
  .object({
    id: z.string().describe('`op_…`; its progress is at `/operations/{id}`.'),
    kind: z.enum(BULK_OPERATION_KINDS).describe('What was asked for.'),
    status: z
      .enum(BULK_OPERATION_STATUSES)
      .describe(
        '`running`; `completed`: all deliveries are pending again, and sent as fast as the receivers ' +
          'answer; `canceled`: deliveries that were not requeued yet were left as they were.',
      ),
    count: z.int().describe('Deliveries that it is about, exactly, at the time of the request.'),
    done: z.int().describe('How many of them are pending again, or were sent since.'),
    skipped: z
      .int()
      .describe('How many had changed meanwhile: redriven one by one, deleted, dropped.'),
    requestedBy: AttributionResponse.nullable().describe(
      'Who asked for it; null: before this was recorded.',
    ),
    createdAt: timestamp.describe('When it was asked for.'),
    completedAt: timestamp.nullable().describe('When it ended; null: it is running.'),
  })
  .meta({
    id: 'Operation',
    examples: [
      {
        id: exampleId('op'),
        kind: 'redrive',
        status: 'running',
        count: 100_000,
        done: 4_250,
        skipped: 0,
        requestedBy: exampleAttribution,
        createdAt: TIME,
        completedAt: null,
      },
    ],
  });
export type OperationResponse = z.infer<typeof OperationResponse>;

export const OperationPage = pageOf(OperationResponse).meta({ id: 'OperationPage' });

export const toOperationResponse = (operation: BulkOperationEntity): OperationResponse => ({
  id: operation.id,
  kind: operation.kind,
  status: operation.status,
  count: operation.count,
  done: operation.done,
  skipped: operation.skipped,
  requestedBy: operation.requestedBy,
  createdAt: operation.createdAt.toISOString(),
  completedAt: operation.completedAt?.toISOString() ?? null,
});
