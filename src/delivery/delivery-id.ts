import { hash } from 'node:crypto';
import { encodeSuffix, timePart } from '../shared/ids.js';

/**
 * The id of the delivery of one event to one webhook, as a function of the two.
 *
 * It is known before the row exists: the attempt after a crash has the same id, and two workers that
 * write the same delivery conflict on its primary key. It begins with the millisecond of the event,
 * so the deliveries of an event are adjacent in the key's order.
 */
export function deliveryId(eventId: string, webhookId: string): string {
  const digest = hash('sha1', `${eventId} ${webhookId}`, 'buffer');
  const bytes = digest.subarray(0, 16);
  // Version and variant of UUIDv7 (RFC 9562), so that it is a TypeID as all other ids are.
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  return `dlv_${timePart(eventId)}${encodeSuffix(bytes).slice(10)}`;
}
