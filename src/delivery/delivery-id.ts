import { hash } from 'node:crypto';
import { encodeSuffix, timePart } from '../shared/ids.js';

/**
 * The id of the delivery of one event to one webhook, which is a function of the two.
 *
 * So it is known, and the same, before any row exists: a second attempt after a crash carries the
 * id of the first, and two workers that write the same delivery meet on its primary key. It keeps
 * the millisecond of the event, so the deliveries of an event stand together in the key's order.
 */
export function deliveryId(eventId: string, webhookId: string): string {
  const digest = hash('sha1', `${eventId} ${webhookId}`, 'buffer');
  const bytes = digest.subarray(0, 16);
  // UUIDv7's version and variant (RFC 9562), so that the id is a TypeID like all the others.
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  return `dlv_${timePart(eventId)}${encodeSuffix(bytes).slice(10)}`;
}
