import { z } from 'zod';
import type { AuditEntryEntity } from '../database/entities/audit-entry.entity.js';
import { AUDIT_ACTIONS, AUDIT_RESOURCES, MAX_VALUE_LENGTH, type Changes } from '../shared/audit.js';
import { timeOf } from '../shared/ids.js';
import { pageOf, PageQuery } from '../shared/pagination.js';
import { knownRoles, PRINCIPAL_ROLES } from '../shared/roles.js';
import {
  exampleId,
  ownerFilter,
  plainText,
  timestamp,
  timestampInput,
  userId,
} from '../shared/zod-fields.js';

/** The longest name of an event type fits. */
const MAX_RESOURCE_ID = 256;

export const AuditQuery = PageQuery.extend({
  ...ownerFilter,
  userId: userId.optional().describe('Only changes that this user made.'),
  action: z.enum(AUDIT_ACTIONS).optional().describe('Only changes of this kind.'),
  resourceType: z.enum(AUDIT_RESOURCES).optional().describe('Only changes of things of this kind.'),
  resourceId: plainText(MAX_RESOURCE_ID)
    .optional()
    .describe('Only changes of this thing: its id, or the name of an event type.'),
  since: timestampInput.optional().describe('Only changes made at this time or later.'),
  until: timestampInput.optional().describe('Only changes made before this time.'),
});
export type AuditQuery = z.infer<typeof AuditQuery>;

const AuditActorResponse = z
  .object({
    kind: z
      .enum(['token', 'api_key', 'system'])
      .describe('What the caller presented; `system`: Tidings itself made the change.'),
    ownerId: z.string().nullable().describe('The owner that the caller acted for.'),
    userId: z.string().nullable().describe('The user of that owner.'),
    apiKeyId: z.string().nullable().describe('The API key (`key_…`) that was presented.'),
    roles: z.array(z.enum(PRINCIPAL_ROLES)).describe('Those of the caller at that time.'),
  })
  .meta({ id: 'AuditActor' });

export const AuditEntryResponse = z
  .object({
    id: z.string().describe('`aud_…`, sortable by time.'),
    at: timestamp.describe('When the change was made.'),
    actor: AuditActorResponse.describe('Who made it.'),
    action: z.enum(AUDIT_ACTIONS).describe('What was done.'),
    resourceType: z.enum(AUDIT_RESOURCES).describe('The kind of thing that was changed.'),
    resourceId: z
      .string()
      .nullable()
      .describe('Its id, or the name of the event type; null: more than one connection.'),
    ownerId: z
      .string()
      .nullable()
      .describe('The owner of the thing; null: the operator, or things of several owners.'),
    changes: z
      .record(
        z.string(),
        z.object({
          old: z.unknown().describe('Before; null: it had no such value.'),
          new: z.unknown().describe('Afterwards; null: it has no such value.'),
        }),
      )
      .describe(
        'By field. Secrets, values of headers and of query parameters are `***`, also where a change ' +
          `of them is the reason of the entry. Of a value with more than ${MAX_VALUE_LENGTH} characters ` +
          'as JSON, the beginning is kept as text that ends with `… (trimmed)`.',
      ),
    address: z
      .string()
      .nullable()
      .describe('Where the request came from; null: there was none, or its connection had ended.'),
    requestId: z.string().nullable().describe('`x-request-id` of the response.'),
  })
  .meta({
    id: 'AuditEntry',
    examples: [
      {
        id: exampleId('aud'),
        at: '2026-01-31T12:00:00.000Z',
        actor: {
          kind: 'token',
          ownerId: 'acme',
          userId: 'alice',
          apiKeyId: null,
          roles: ['manager'],
        },
        action: 'webhook.updated',
        resourceType: 'webhook',
        resourceId: exampleId('wh'),
        ownerId: 'acme',
        changes: { active: { old: true, new: false } },
        address: '203.0.113.7',
        requestId: '0b1c6f0e-6a52-4f0c-9d2f-0d3f2b8f8d5e',
      },
    ],
  });
export type AuditEntryResponse = z.infer<typeof AuditEntryResponse>;

export const AuditPage = pageOf(AuditEntryResponse).meta({ id: 'AuditPage' });

export const toAuditEntryResponse = (entry: AuditEntryEntity): AuditEntryResponse => ({
  id: entry.id,
  at: new Date(timeOf(entry.id)).toISOString(),
  actor: {
    kind: kindOf(entry),
    ownerId: entry.actorOwnerId,
    userId: entry.userId,
    apiKeyId: entry.apiKeyId,
    roles: knownRoles(entry.roles),
  },
  action: entry.action,
  resourceType: entry.resourceType,
  resourceId: entry.resourceId,
  ownerId: entry.ownerId,
  changes: JSON.parse(entry.changes) as Changes,
  address: entry.address,
  requestId: entry.requestId,
});

function kindOf({ actorOwnerId, apiKeyId }: AuditEntryEntity): 'token' | 'api_key' | 'system' {
  if (actorOwnerId === null) return 'system';
  return apiKeyId === null ? 'token' : 'api_key';
}
