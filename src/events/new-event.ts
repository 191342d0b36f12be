/** From what a caller gives to the row that is stored, without touching anything outside. */
import { AppError, InvalidInputError } from '../common/app-error.js';
import { isAdmin, type Principal } from '../auth/principal.js';
import { envelopeText } from '../common/event-envelope.js';
import { timeOf } from '../common/ids.js';
import { PRIORITIES, type PublishEvent } from './events.dto.js';

/** The largest envelope, in bytes of UTF-8. */
const MAX_EVENT_BYTES = 256 * 1024;

/** An event that is ready to be written. */
export interface PreparedEvent {
  id: string;
  ownerId: string | null;
  type: string;
  subject: string | null;
  /** The envelope's text, final. */
  body: string;
  priority: number;
  ttlMs: number | null;
}

/**
 * @param field where the event stands in the input, for errors: `` or `events[3]`
 * @throws AppError `too_large` if the envelope exceeds {@link MAX_EVENT_BYTES}
 */
export function prepared(
  event: PublishEvent,
  id: string,
  ownerId: string | null,
  field = '',
): PreparedEvent {
  const { type, subject, source, data } = event;
  const body = envelopeText({ id, type, timestamp: timestampOf(event, id), subject, source, data });
  if (body.length > MAX_EVENT_BYTES / 3 && Buffer.byteLength(body) > MAX_EVENT_BYTES) {
    const message = `makes the event larger than ${MAX_EVENT_BYTES} bytes`;
    const at = field === '' ? 'data' : `${field}.data`;
    throw new AppError('too_large', 'event_too_large', `${at} ${message}`, [
      { field: at, message },
    ]);
  }
  return {
    id,
    ownerId,
    type,
    subject: subject ?? null,
    body,
    priority: PRIORITIES.indexOf(event.priority),
    ttlMs: event.ttlMs ?? null,
  };
}

/** Given, or the moment in the id: the same however often the same request is answered. */
export const timestampOf = (event: Pick<PublishEvent, 'timestamp'>, id: string): string =>
  (event.timestamp ?? new Date(timeOf(id))).toISOString();

/**
 * Whose event a caller publishes.
 * @throws InvalidInputError when it names another owner than itself and is no admin
 */
export function ownerOf(
  { ownerId }: Pick<PublishEvent, 'ownerId'>,
  principal: Principal,
  field = '',
): string | null {
  if (isAdmin(principal)) return ownerId ?? null;
  if (ownerId === undefined || ownerId === principal.ownerId) return principal.ownerId;
  throw InvalidInputError.at(
    field === '' ? 'ownerId' : `${field}.ownerId`,
    'must be your own id, or be left out: only an admin publishes for others',
  );
}
