import { z } from 'zod';
import { AttributionResponse, exampleAttribution } from '../shared/attribution.js';
import { PageQuery, pageOf } from '../shared/pagination.js';
import {
  eventPattern,
  exampleId,
  MAX_PATTERNS,
  ownerFilter,
  ownerId,
  plainText,
  timestamp,
} from '../shared/zod-fields.js';
import type { WebhookEntity } from '../database/entities/webhook.entity.js';
import { headerProblem, MAX_CUSTOM_HEADERS } from '../outbound/custom-headers.js';
import type { ShownTls } from '../outbound/tls-settings.js';
import { dispatchPolicySettings, shownDispatchPolicy } from './dispatch-policy.dto.js';
import { parseSecret, type SigningSecret, showSecret } from './signing-secret.js';
import { shownTlsSetting, tlsSetting } from './webhook-tls.dto.js';

/** The longest wait in a retry policy: a week. */
const MAX_DELAY_MS = 7 * 86_400_000;

const EventPattern = eventPattern
  .describe(
    'An exact event type, a type ending in `.*` (everything below it), or `*` (all but system events).',
  )
  .meta({ examples: ['trade.*'] });

const delayMs = z.int().min(0).max(MAX_DELAY_MS);

const RetryPolicySchema = z
  .union(
    [
      z.strictObject({
        schedule: z
          .array(delayMs)
          .max(50)
          .describe('Waits before attempts 2, 3, … in milliseconds; empty: a single attempt.'),
      }),
      z.strictObject({
        baseMs: z
          .int()
          .min(1)
          .max(MAX_DELAY_MS)
          .describe('Wait before attempt 2, in milliseconds.'),
        factor: z.number().min(1).max(10).describe('Each further wait is this many times longer.'),
        maxMs: z.int().min(1).max(MAX_DELAY_MS).describe('Longest wait, in milliseconds.'),
        maxAttempts: z.int().min(1).max(100).describe('Attempts in all, the first included.'),
      }),
    ],
    'must be {schedule} with waits in whole milliseconds, or {baseMs, factor, maxMs, maxAttempts}',
  )
  .describe(
    'When a failed delivery is tried again, with 20 % jitter; then it is a dead letter. ' +
      'Absent: DELIVERY_RETRY_SCHEDULE_MS (1 s, 5 s, 30 s, 5 min, 30 min).',
  )
  .meta({ id: 'RetryPolicy', examples: [{ schedule: [1_000, 5_000, 30_000] }] });

const Headers = z
  .record(z.string(), z.string())
  .superRefine((headers, context) => {
    const entries = Object.entries(headers);
    if (entries.length > MAX_CUSTOM_HEADERS) {
      const message = `must be at most ${MAX_CUSTOM_HEADERS} headers`;
      context.addIssue({ code: 'custom', message });
      return;
    }
    for (const [name, value] of entries) {
      const problem = headerProblem(name, value);
      if (problem) context.addIssue({ code: 'custom', path: [name], message: problem });
    }
    if (new Set(entries.map(([name]) => name.toLowerCase())).size < entries.length) {
      context.addIssue({ code: 'custom', message: 'must not name a header twice' });
    }
  })
  .meta({ examples: [{ 'X-Tenant': 'acme' }] });

const Secret = z
  .string()
  .max(256)
  .superRefine((value, context) => {
    const parsed = parseSecret(value);
    if (!parsed.ok) context.addIssue({ code: 'custom', message: parsed.message });
  })
  .describe(
    'Signing secret: `whsec_` and the base64 of 24 to 64 bytes (Standard Webhooks), or a plain ' +
      'text of 16 to 64 characters whose bytes are the key. Generated when absent.',
  );

const allowDuplicateUrl = z
  .boolean()
  .optional()
  .describe(
    'Without it, a URL that another webhook of the owner has is refused with 409: events that match ' +
      'both would be sent there twice.',
  );

const settings = {
  url: plainText(2048)
    .describe('Where events are POSTed. A public https address; no userinfo, no fragment.')
    .meta({ examples: ['https://example.com/hooks/tidings'] }),
  events: z
    .array(EventPattern)
    .min(1)
    .max(MAX_PATTERNS)
    .transform((patterns) => [...new Set(patterns)])
    .describe(
      'Patterns to subscribe to, 1 to 100. An event that matches several is delivered once.',
    ),
  name: plainText(100).nullish().describe('A name for people; up to 100 characters.'),
  description: plainText(1_000).nullish().describe('What it is for; up to 1,000 characters.'),
  headers: Headers.nullish().describe(
    'Your own request headers, at most 10; sent with every attempt. Write-only: responses contain ' +
      'the names. Headers of the protocol cannot be set.',
  ),
  active: z
    .boolean()
    .describe('While false, new events do not match it, and its pending deliveries wait.'),
  timeoutMs: z
    .int()
    .min(100)
    .max(60_000)
    .nullish()
    .describe(
      'Timeout of one attempt from DNS to the end of the response, 100 to 60,000 milliseconds. ' +
        'Absent: DELIVERY_TIMEOUT_MS (30 s).',
    ),
  retryPolicy: RetryPolicySchema.nullish().describe(
    'When a failed delivery is tried again. Absent or null: DELIVERY_RETRY_SCHEDULE_MS.',
  ),
  tls: tlsSetting,
  ...dispatchPolicySettings,
};

export const CreateWebhook = z
  .strictObject({
    ...settings,
    active: settings.active.default(true),
    secret: Secret.optional(),
    allowDuplicateUrl,
    ownerId: ownerId
      .optional()
      .describe(
        'Admin only: the owner of the webhook. Absent for an admin: the operator, whose webhooks ' +
          'receive the events of every owner.',
      ),
  })
  .meta({
    id: 'CreateWebhook',
    examples: [{ url: 'https://example.com/hooks/tidings', events: ['trade.*'] }],
  });
export type CreateWebhook = z.infer<typeof CreateWebhook>;

export const UpdateWebhook = z
  .strictObject({
    ...settings,
    url: settings.url.optional(),
    events: settings.events.optional(),
    active: settings.active.optional(),
    allowDuplicateUrl,
  })
  .refine(
    (change) => Object.keys(change).some((field) => field !== 'allowDuplicateUrl'),
    'must change at least one field',
  )
  .meta({ id: 'UpdateWebhook', examples: [{ events: ['trade.submitted'], active: true }] });
export type UpdateWebhook = z.infer<typeof UpdateWebhook>;

export const RotateSecret = z
  .strictObject({
    secret: Secret.optional(),
    overlapMs: z
      .int()
      .min(0)
      .max(7 * 86_400_000)
      .default(86_400_000)
      .describe(
        'How long requests are signed with the present secret too, in milliseconds: 24 h when ' +
          'absent, 7 days at most, 0 to revoke it at once.',
      ),
  })
  .prefault({})
  .meta({ id: 'RotateSecret', examples: [{ overlapMs: 3_600_000 }] });
export type RotateSecret = z.infer<typeof RotateSecret>;

export const WebhookQuery = PageQuery.extend({
  ...ownerFilter,
  active: z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .optional()
    .describe('Only webhooks that are (not) switched on.'),
});
export type WebhookQuery = z.infer<typeof WebhookQuery>;

const example = {
  id: exampleId('wh'),
  ownerId: 'acme',
  url: 'https://example.com/hooks/tidings',
  events: ['trade.*'],
  name: 'Settlement',
  description: null,
  headers: ['X-Tenant'],
  active: true,
  disabledReason: null,
  disabledAt: null,
  timeoutMs: null,
  retryPolicy: { schedule: [1_000, 5_000, 30_000] },
  tls: null,
  rateLimit: { max: 10, perMs: 1_000 },
  maxConcurrency: null,
  ordering: 'none' as const,
  batch: null,
  createdBy: exampleAttribution,
  createdAt: '2026-01-31T12:00:00.000Z',
  updatedAt: '2026-01-31T12:00:00.000Z',
};
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

export const WebhookResponse = z
  .object({
    id: z.string().describe('`wh_…`, sortable by time of creation.'),
    ownerId: z.string().nullable().describe('Null: it belongs to the operator.'),
    url: z.string().describe('Where events are POSTed.'),
    events: z.array(z.string()).describe('Patterns that it is subscribed to.'),
    name: z.string().nullable().describe('A name for people.'),
    description: z.string().nullable().describe('What it is for.'),
    headers: z.array(z.string()).describe('Names of your own headers; their values are not shown.'),
    active: z.boolean().describe('Whether events are sent to it.'),
    disabledReason: z
      .string()
      .nullable()
      .describe(
        'Why Tidings switched it off: `gone` after a response with status 410, `failing` after days ' +
          'of nothing but failures. Null: it did not.',
      ),
    disabledAt: timestamp.nullable().describe('When Tidings switched it off. Null: it did not.'),
    timeoutMs: z.number().nullable().describe('Null: the default of the installation.'),
    retryPolicy: RetryPolicySchema.nullable().describe('Null: the default of the installation.'),
    tls: shownTlsSetting,
    ...shownDispatchPolicy,
    createdBy: AttributionResponse.nullable().describe(
      'Who registered it; null: before this was recorded.',
    ),
    createdAt: timestamp.describe('When it was registered.'),
    updatedAt: timestamp.describe('When it was last changed.'),
  })
  .meta({ id: 'Webhook', examples: [example] });
export type WebhookResponse = z.infer<typeof WebhookResponse>;

export const WebhookWithSecret = WebhookResponse.extend({
  secret: z
    .string()
    .describe('The signing secret, `whsec_…`. Only this response contains it: keep it.')
    .meta({ examples: [SECRET] }),
}).meta({ id: 'WebhookWithSecret', examples: [{ ...example, secret: SECRET }] });
export type WebhookWithSecret = z.infer<typeof WebhookWithSecret>;

export const WebhookPage = pageOf(WebhookResponse).meta({ id: 'WebhookPage' });

/** @param opened of what is sealed in the row, the part that may be shown */
export function toWebhookResponse(
  webhook: WebhookEntity,
  { headerNames, tls }: { headerNames: string[]; tls: ShownTls | null },
): WebhookResponse {
  return {
    id: webhook.id,
    ownerId: webhook.ownerId,
    url: webhook.url,
    events: webhook.events,
    name: webhook.name,
    description: webhook.description,
    headers: headerNames,
    active: webhook.active,
    disabledReason: webhook.disabledReason,
    disabledAt: webhook.disabledAt?.toISOString() ?? null,
    timeoutMs: webhook.timeoutMs,
    retryPolicy: webhook.retryPolicy,
    tls,
    rateLimit: webhook.rateLimit,
    maxConcurrency: webhook.maxConcurrency,
    ordering: webhook.ordering,
    batch: webhook.batch,
    createdBy: webhook.createdBy,
    createdAt: webhook.createdAt.toISOString(),
    updatedAt: webhook.updatedAt.toISOString(),
  };
}

export const withSecret = (webhook: WebhookResponse, secret: SigningSecret): WebhookWithSecret => ({
  ...webhook,
  secret: showSecret(secret),
});
