import { z } from 'zod';
import { DELIVERY_STATUSES } from '../../shared/delivery-status.js';
import { timeOf } from '../../shared/ids.js';
import { AttributionResponse, exampleAttribution } from '../../shared/attribution.js';
import { PageQuery, pageOf } from '../../shared/pagination.js';
import {
  eventPattern,
  exampleId,
  idOf,
  ownerFilter,
  timestamp,
  timestampInput,
} from '../../shared/zod-fields.js';
import type { DeliveryAttemptEntity } from '../../database/entities/delivery-attempt.entity.js';
import type { DeliveryEntity } from '../../database/entities/delivery.entity.js';
import type { PendingDelivery } from './pending-deliveries.store.js';

const filters = {
  type: eventPattern.optional().describe('Only events of this type or pattern.'),
  since: timestampInput.optional().describe('Only events accepted at this time or later.'),
  until: timestampInput.optional().describe('Only events accepted before this time.'),
};

const webhookId = idOf('wh').optional().describe('Only deliveries to this webhook (`wh_…`).');

export const WebhookDeliveriesQuery = PageQuery.extend({
  ...ownerFilter,
  status: z.enum(DELIVERY_STATUSES).optional().describe('Only deliveries in this state.'),
  ...filters,
});
export type WebhookDeliveriesQuery = z.infer<typeof WebhookDeliveriesQuery>;

export const DeliveriesQuery = WebhookDeliveriesQuery.extend({ webhookId });
export type DeliveriesQuery = z.infer<typeof DeliveriesQuery>;

export const EventDeliveriesQuery = z.strictObject(ownerFilter);
export type EventDeliveriesQuery = z.infer<typeof EventDeliveriesQuery>;

/** Filters of the list of dead letters, and of a redrive of many. */
export const deadLetterFilters = {
  webhookId,
  ...filters,
  reason: z
    .string()
    .max(40)
    .regex(/^[a-z_]+$/, 'must be an error class such as timeout')
    .optional()
    .describe('Only those that ended with this error class, e.g. `timeout`, `http`, `gone`.'),
};

export const DeadLettersQuery = PageQuery.extend({ ...ownerFilter, ...deadLetterFilters });
export type DeadLettersQuery = z.infer<typeof DeadLettersQuery>;

/** For the examples. */
const TIME = '2026-01-31T12:00:00.000Z';
const exampleAttempt = {
  number: 1,
  statusCode: 200,
  durationMs: 34,
  error: null,
  errorMessage: null,
  responseBody: 'ok',
  resent: false,
  at: TIME,
};
const exampleDelivery = {
  id: exampleId('dlv'),
  eventId: exampleId('evt'),
  eventType: 'trade.submitted',
  webhookId: exampleId('wh'),
  status: 'success',
  attemptCount: 1,
  nextAttemptAt: null,
  lastStatusCode: 200,
  lastError: null,
  requestedBy: null,
  createdAt: TIME,
  completedAt: TIME,
};

export const AttemptResponse = z
  .object({
    number: z.int().describe('Counted from 1 over all redrives.'),
    statusCode: z.int().nullable().describe('Null: there was no complete HTTP response.'),
    durationMs: z.int().describe('From the call to the end of the response.'),
    error: z
      .string()
      .nullable()
      .describe(
        '`dns`, `connect`, `tls`, `timeout`, `http`, `blocked`, `bad_response`, or `interrupted`: its ' +
          'worker ended before there was a result; null: success.',
      ),
    errorMessage: z
      .string()
      .nullable()
      .describe(
        'What failed, in one sentence for people: the certificate expired on …, wrong host, name not ' +
          'found, connection refused, … Null: nothing. The wording may change.',
      ),
    responseBody: z.string().nullable().describe('What the receiver answered, 16 KB at most.'),
    resent: z
      .boolean()
      .describe(
        'Whether the request was sent twice: the receiver had closed the connection, which had been ' +
          'used before, without a byte of an answer (RFC 9112, 9.3.1).',
      ),
    at: timestamp.describe('When the request was started.'),
  })
  .meta({ id: 'Attempt', examples: [exampleAttempt] });
export type AttemptResponse = z.infer<typeof AttemptResponse>;

export const DeliveryResponse = z
  .object({
    id: z.string().describe('`dlv_…`; sent as `tidings-delivery-id` with every attempt.'),
    eventId: z.string().describe('The event that is to be delivered.'),
    eventType: z.string().describe('Its type.'),
    webhookId: z.string().describe('The webhook that it is sent to.'),
    status: z
      .enum(DELIVERY_STATUSES)
      .describe(
        '`pending`: not attempted yet; `delivering`: a worker has it; `retrying`: failed, will be ' +
          'attempted again; `success`; `dead_letter`: given up, may be redriven; `canceled`: its ' +
          'webhook was deleted, or it was deleted as a dead letter.',
      ),
    attemptCount: z.int().describe('Attempts made so far, over all redrives.'),
    nextAttemptAt: timestamp
      .nullable()
      .describe('When the next attempt is due; null: it does not wait for a time.'),
    lastStatusCode: z
      .int()
      .nullable()
      .describe('Of the last attempt; null: there was no response.'),
    lastError: z
      .string()
      .nullable()
      .describe(
        'Error class of the last attempt, or the reason why it ended or is deferred: `circuit_open`, ' +
          '`webhook_inactive`, `throttled` (the receiver says its rate with 429), `interrupted`, ' +
          '`dns_busy` (many names of the same owner do not resolve), `proxy_unavailable` (the ' +
          'egress proxy of the installation).',
      ),
    requestedBy: AttributionResponse.nullable().describe(
      'Who had it sent again, the last time: by a retry, redrive or replay. Null: it was sent because ' +
        'of its event.',
    ),
    createdAt: timestamp.describe('When the event was accepted.'),
    completedAt: timestamp.nullable().describe('When it became final; null: it is not.'),
  })
  .meta({ id: 'Delivery', examples: [exampleDelivery] });
export type DeliveryResponse = z.infer<typeof DeliveryResponse>;

export const DeliveryDetail = DeliveryResponse.extend({
  attempts: z.array(AttemptResponse).describe('Oldest first; the latest 100.'),
}).meta({ id: 'DeliveryDetail', examples: [{ ...exampleDelivery, attempts: [exampleAttempt] }] });
export type DeliveryDetail = z.infer<typeof DeliveryDetail>;

const exampleEvent = {
  id: exampleId('evt'),
  type: 'trade.submitted',
  timestamp: TIME,
  data: { tradeId: 'T-1', quantity: 10 },
};

export const DeadLetterDetail = DeliveryDetail.extend({
  event: z
    .object({
      id: z.string().describe('Sent as `webhook-id`.'),
      type: z.string().describe('What happened.'),
      timestamp: timestamp.describe('When it happened.'),
      subject: z.string().optional().describe('What it is about.'),
      source: z.string().optional().describe('Where it comes from.'),
      data: z.unknown().describe('As it was published.'),
    })
    .nullable()
    .describe(
      'What would be sent. Null: retention has dropped it, so that it cannot be redriven, or your ' +
        'credential does not allow its type.',
    ),
}).meta({
  id: 'DeadLetterDetail',
  examples: [
    {
      ...exampleDelivery,
      status: 'dead_letter',
      requestedBy: exampleAttribution,
      lastStatusCode: 500,
      lastError: 'http',
      attempts: [
        {
          ...exampleAttempt,
          statusCode: 500,
          error: 'http',
          errorMessage: 'The receiver answered with status 500.',
          responseBody: 'oops',
        },
      ],
      event: exampleEvent,
    },
  ],
});
export type DeadLetterDetail = z.infer<typeof DeadLetterDetail>;

export const DeliveryPage = pageOf(DeliveryResponse).meta({ id: 'DeliveryPage' });

export const DeliveryList = z
  .object({ data: z.array(DeliveryResponse).describe('One per webhook.') })
  .meta({ id: 'DeliveryList' });
export type DeliveryList = z.infer<typeof DeliveryList>;

export const TestResult = z
  .object({
    eventId: z.string().describe('Id of the test event; it is not part of the log.'),
    delivered: z.boolean().describe('Whether the receiver answered with a 2xx status.'),
    attempt: AttemptResponse,
  })
  .meta({
    id: 'TestResult',
    examples: [{ eventId: exampleId('evt'), delivered: true, attempt: exampleAttempt }],
  });
export type TestResult = z.infer<typeof TestResult>;

export function toDeliveryResponse(delivery: DeliveryEntity): DeliveryResponse {
  const isWaiting = delivery.status === 'retrying' || delivery.status === 'pending';
  return {
    id: delivery.id,
    eventId: delivery.eventId,
    eventType: delivery.eventType,
    webhookId: delivery.webhookId,
    status: delivery.status,
    attemptCount: delivery.attempts,
    // While it is leased, the due time is the end of the lease.
    nextAttemptAt: isWaiting ? isoTime(delivery.dueAt ?? delivery.notBefore) : null,
    lastStatusCode: delivery.lastStatusCode,
    lastError: delivery.lastError,
    requestedBy: delivery.requestedBy,
    // The time in the id: the row is written with the first outcome only.
    createdAt: new Date(timeOf(delivery.id)).toISOString(),
    completedAt: isoTime(delivery.completedAt),
  };
}

/** As {@link toDeliveryResponse} for a delivery without a row. */
export const toPendingResponse = ({
  isLeased,
  ...delivery
}: PendingDelivery): DeliveryResponse => ({
  ...delivery,
  status: isLeased ? 'delivering' : 'pending',
  attemptCount: 0,
  nextAttemptAt: null,
  lastStatusCode: null,
  lastError: null,
  requestedBy: null,
  createdAt: new Date(timeOf(delivery.id)).toISOString(),
  completedAt: null,
});

const isoTime = (time: Date | null): string | null => time?.toISOString() ?? null;

/** Oldest first: those with rows of their own, and the latest, which is in the delivery's row. */
export function allAttempts(
  delivery: DeliveryEntity,
  earlier: readonly DeliveryAttemptEntity[],
): AttemptResponse[] {
  // Those with higher numbers are in flight: they are marked in case their worker crashes.
  const ended = earlier.filter(({ number }) => number <= delivery.attempts);
  const attempts = new Map(ended.map((row) => [row.startedAt.getTime(), toAttempt(row)]));
  const { lastAttemptAt } = delivery;
  if (lastAttemptAt) attempts.set(lastAttemptAt.getTime(), latestAttempt(delivery, lastAttemptAt));
  return [...attempts].sort(([a], [b]) => a - b).map(([, attempt]) => attempt);
}

/** What failed in an attempt; what a status says is not stored. */
export function errorMessageOf(
  error: string | null,
  stored: string | null,
  statusCode: number | null,
): string | null {
  if (error === null) return null;
  if (stored !== null || statusCode === null) return stored;
  return `The receiver answered with status ${statusCode}.`;
}

const latestAttempt = (delivery: DeliveryEntity, startedAt: Date): AttemptResponse => ({
  number: delivery.attempts,
  statusCode: delivery.lastStatusCode,
  durationMs: delivery.lastDurationMs ?? 0,
  error: delivery.lastAttemptError,
  errorMessage: errorMessageOf(
    delivery.lastAttemptError,
    delivery.lastAttemptMessage,
    delivery.lastStatusCode,
  ),
  responseBody: delivery.lastResponseBody,
  resent: delivery.lastAttemptResent ?? false,
  at: startedAt.toISOString(),
});

const toAttempt = (attempt: DeliveryAttemptEntity): AttemptResponse => ({
  number: attempt.number,
  statusCode: attempt.statusCode,
  durationMs: attempt.durationMs,
  error: attempt.error,
  errorMessage: errorMessageOf(attempt.error, attempt.errorMessage, attempt.statusCode),
  responseBody: attempt.responseBody,
  resent: attempt.resent ?? false,
  at: attempt.startedAt.toISOString(),
});
