/** From the request of a caller to the event that is stored. */
import { AppError, InvalidInputError } from '../shared/app-error.js';
import { isAdmin, type Principal } from '../auth/principal.js';
import { envelopeText, PRIORITIES } from '../shared/envelope.js';
import { fieldErrors } from '../shared/field-errors.js';
import { timeOf } from '../shared/ids.js';
import type { EventType } from '../event-types/event-type.js';
import type { PublishEvent } from './events.dto.js';

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
  /** Its type is not durable: it is sent to live connections, and nowhere else. */
  transient: boolean;
  /** Of a transient event: only the latest of so many milliseconds is sent; null: all are. */
  coalesceMs: number | null;
}

/** What the request does not contain. */
interface Context {
  id: string;
  ownerId: string | null;
  /** What the catalogue says about the type, if anything. */
  eventType: EventType | undefined;
  /** The text of its data as a request contains it; absent: the event came from within the process. */
  dataText?: string | undefined;
  /** The field of the request that contains the event, for errors: `` or `events[3]`. */
  field?: string;
}

/**
 * @throws AppError `too_large` if the envelope exceeds {@link MAX_EVENT_BYTES}
 * @throws InvalidInputError if the data does not fit the schema of its type
 */
export function prepared(
  event: PublishEvent,
  { id, ownerId, eventType, dataText, field = '' }: Context,
): PreparedEvent {
  const { type, subject, source, data } = event;
  const transient = eventType?.settings.durable === false;
  const timestamp = timestampOf(event, id);
  const mark = transient ? true : undefined;
  const body = envelopeText(
    { id, type, timestamp, subject, source, transient: mark, data },
    dataText,
  );
  if (body.length > MAX_EVENT_BYTES / 3 && Buffer.byteLength(body) > MAX_EVENT_BYTES) {
    const message = `makes the event larger than ${MAX_EVENT_BYTES} bytes`;
    const at = field === '' ? 'data' : `${field}.data`;
    throw new AppError('too_large', 'event_too_large', `${at} ${message}`, [
      { field: at, message },
    ]);
  }
  if (eventType) requireFit(event, eventType, body.length, field);
  return {
    id,
    ownerId,
    type,
    subject: subject ?? null,
    body,
    priority: PRIORITIES.indexOf(event.priority ?? eventType?.settings.priority ?? 'normal'),
    ttlMs: event.ttlMs ?? null,
    transient,
    coalesceMs: transient ? eventType.settings.coalesceMs : null,
  };
}

function requireFit(
  { data }: PublishEvent,
  eventType: EventType,
  bytes: number,
  field: string,
): void {
  const issues = eventType.dataIssues(data, bytes);
  if (issues.length === 0) return;
  const parent = field === '' ? ['data'] : [field, 'data'];
  throw new InvalidInputError(
    fieldErrors(issues.map(({ path = [], message }) => ({ path: [...parent, ...path], message }))),
  );
}

/** As given, or the time in the id, so that a repeated request gets the same answer. */
export const timestampOf = (event: Pick<PublishEvent, 'timestamp'>, id: string): string =>
  (event.timestamp ?? new Date(timeOf(id))).toISOString();

/**
 * The owner of an event that a caller publishes.
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
