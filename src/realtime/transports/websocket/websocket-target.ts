/** What the address of a plain WebSocket asks for. */
import type { z } from 'zod';
import { AppError, InvalidInputError } from '../../../shared/app-error.js';
import { fieldErrors } from '../../../shared/field-errors.js';
import { plainText } from '../../../shared/zod-fields.js';
import { lastCount } from '../../subscribed-topic.js';
import { type Topic, topicSchema } from '../../topic.js';

export interface WebSocketTarget {
  /** A name that the client gave itself; repeated in `connected`. */
  clientId?: string;
  /** Subscribed on arrival. */
  topic?: Topic;
  /** The newest events of the topic that come first. */
  last?: number;
  query: URLSearchParams;
}

/** How the path begins; the rest is read by {@link webSocketTarget}. */
const PREFIX = /^\/ws(?=[/?]|$)/;

const MAX_CLIENT_ID_LENGTH = 128;
const clientIdSchema = plainText(MAX_CLIENT_ID_LENGTH);

export const isPlainWebSocket = (url: string): boolean => PREFIX.test(url);

/**
 * Reads `/ws`, `/ws/{clientId}` and `/ws/{type}/{subject}`, whose parts are percent-encoded.
 *
 * @throws AppError `malformed_request`, `route_not_found`, `invalid_input`
 */
export function webSocketTarget(url: string): WebSocketTarget {
  const [path = '', ...search] = url.split('?');
  const query = new URLSearchParams(search.join('?'));
  const parts = path.replace(PREFIX, '').replace(/\/$/, '').split('/').slice(1).map(decoded);
  const [first, subject] = parts;
  if (first === undefined) return { query };
  if (parts.includes('') || parts.length > 2) {
    const detail = 'There are /ws, /ws/{clientId} and /ws/{type}/{subject}.';
    throw new AppError('not_found', 'route_not_found', detail);
  }
  return subject === undefined
    ? { query, clientId: checked(clientIdSchema, first, ['clientId']) }
    : { query, topic: checked(topicSchema, { type: first, subject }, []), ...lastOf(query) };
}

function lastOf(query: URLSearchParams): { last?: number } {
  const text = query.get('last');
  if (text === null) return {};
  return { last: checked(lastCount, /^\d{1,9}$/.test(text) ? Number(text) : text, ['last']) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new AppError('malformed', 'malformed_request', 'The path is not percent-encoded UTF-8.');
  }
}

function checked<T>(schema: z.ZodType<T>, value: unknown, where: string[]): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => ({
    ...issue,
    path: [...where, ...issue.path],
  }));
  throw new InvalidInputError(fieldErrors(issues));
}
