import { z } from 'zod';

/** Who has asked for something, as the history keeps it. */
export interface Attribution {
  ownerId: string;
  userId: string;
  /** Null: a token was presented. */
  apiKeyId: string | null;
}

export const attributionOf = ({
  ownerId,
  userId,
  apiKeyId,
}: {
  ownerId: string;
  userId: string;
  apiKeyId?: string;
}): Attribution => ({ ownerId, userId, apiKeyId: apiKeyId ?? null });

export const AttributionResponse = z
  .object({
    ownerId: z.string().describe('The owner that the caller acted for.'),
    userId: z.string().describe('The user of that owner.'),
    apiKeyId: z.string().nullable().describe('The API key that it used; null: a token.'),
  })
  .meta({ id: 'Attribution' });

/** For the examples. */
export const exampleAttribution: Attribution = {
  ownerId: 'acme',
  userId: 'alice',
  apiKeyId: null,
};
