import { z } from 'zod';
import { pageOf, PageQuery } from '../shared/pagination.js';
import {
  eventPattern,
  MAX_PATTERNS,
  ownerFilter,
  ownerId,
  plainText,
  timestamp,
  timestampInput,
  userId,
} from '../shared/zod-fields.js';
import type { ApiKeyEntity } from '../database/entities/api-key.entity.js';
import { knownRoles, PRINCIPAL_ROLES } from '../shared/roles.js';

export const CreateApiKey = z
  .strictObject({
    name: plainText(100).describe('What the key is for; up to 100 characters.'),
    roles: z
      .array(z.enum(PRINCIPAL_ROLES))
      .min(1)
      .max(PRINCIPAL_ROLES.length)
      .optional()
      .describe(
        'Some of your own roles; absent: all of them, without those that reach all owners ' +
          '(`admin`, `operator`, `producer`).',
      ),
    topics: z
      .array(eventPattern)
      .min(1)
      .max(MAX_PATTERNS)
      .optional()
      .describe(
        'Patterns of the events that the key may receive, 1 to 100, within your own; absent: yours.',
      ),
    expiresAt: timestampInput
      .optional()
      .describe(
        'When the key ends (RFC 3339, in the future); absent: when it is revoked. A key that is ' +
          'created with a key ends with that one at the latest, and is revoked with it.',
      ),
    ownerId: ownerId
      .optional()
      .describe('The owner that the key acts for; absent: yours. Only an admin may name another.'),
    sub: userId
      .optional()
      .describe(
        'The user or service inside the tenant that callers with the key are, in live connections ' +
          'and in the history; absent: the id of the owner.',
      ),
  })
  .meta({
    id: 'CreateApiKey',
    examples: [{ name: 'order service', expiresAt: '2030-01-01T00:00:00Z' }],
  });
export type NewApiKey = z.output<typeof CreateApiKey>;

export const ApiKeysQuery = PageQuery.extend(ownerFilter);
export type ApiKeysQuery = z.output<typeof ApiKeysQuery>;

const fields = {
  id: z.string().describe('Id of the key, `key_…`; not the key itself.'),
  ownerId: z.string().describe('The owner that the key acts for.'),
  userId: z.string().describe('The user that callers with the key are.'),
  name: z.string().describe('What the key is for.'),
  prefix: z.string().describe('The first characters of the key, to recognise it by.'),
  roles: z.array(z.enum(PRINCIPAL_ROLES)).describe('What the key may do.'),
  topics: z
    .array(z.string())
    .nullable()
    .describe('Patterns of the events that it may receive; null: all that its owner may receive.'),
  expiresAt: timestamp.nullable().describe('When it ends; null: when it is revoked.'),
  parentId: z
    .string()
    .nullable()
    .describe('The key that it was created with, and is revoked with; null: a token.'),
  createdAt: timestamp.describe('When it was created.'),
};

const example = {
  id: 'key_01h455vb4pex5vsknk084sn02q',
  ownerId: 'acme',
  userId: 'orders',
  name: 'order service',
  prefix: 'tdk_x7Qf',
  roles: ['publisher', 'subscriber'],
  topics: null,
  expiresAt: '2030-01-01T00:00:00.000Z',
  parentId: null,
  createdAt: '2026-01-31T12:00:00.000Z',
};

export const ApiKey = z.object(fields).meta({ id: 'ApiKey', examples: [example] });
export type ApiKeyResponse = z.output<typeof ApiKey>;

export const ApiKeyPage = pageOf(ApiKey).meta({ id: 'ApiKeyPage' });

export const CreatedApiKey = z
  .object({
    ...fields,
    key: z.string().describe('The key for `X-API-Key`. Only this response contains it.'),
  })
  .meta({
    id: 'CreatedApiKey',
    examples: [{ ...example, key: 'tdk_x7Qf0000000000000000000000000000000000000000' }],
  });
export type CreatedApiKeyResponse = z.output<typeof CreatedApiKey>;

/** A stored key without its hash. */
export const toApiKeyResponse = (key: ApiKeyEntity): ApiKeyResponse => ({
  id: key.id,
  ownerId: key.ownerId,
  userId: key.userId,
  name: key.name,
  prefix: key.prefix,
  roles: knownRoles(key.roles),
  topics: key.topics,
  expiresAt: key.expiresAt?.toISOString() ?? null,
  parentId: key.parentId,
  createdAt: key.createdAt.toISOString(),
});
