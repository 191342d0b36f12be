import { bulk, text } from '../../database/bulk.js';
import { keyIn, rowOf } from '../../database/keyed-lookup.js';

/** Events whose outbox rows are leased under these tokens. */
export const LEASED_EVENTS = bulk<{ eventId: string; token: string }>({
  event_id: text(({ eventId }) => eventId),
  token: text(({ token }) => token),
});

/** Deliveries that are leased under these tokens. */
export const LEASED_DELIVERIES = bulk<{ id: string; token: string }>({
  id: text(({ id }) => id),
  token: text(({ token }) => token),
});

/**
 * SQL to join with: the outbox row of the event `g`, if it is leased under its token.
 * @param lock `FOR UPDATE`, or nothing
 */
export const leasedEvent = (columns: string, lock = ''): string =>
  rowOf('event_outbox', columns, 'event_id = g.event_id AND lease_token = g.token', lock);

/**
 * SQL that begins a statement: `leased` has the ids of the events that are still leased under their
 * token, with their rows locked. Parameters: {@link LEASED_EVENTS}.
 */
export const WITH_LEASED_EVENTS = `
  WITH leased AS MATERIALIZED (
    SELECT g.event_id FROM ${LEASED_EVENTS.unnest('g')}
     CROSS JOIN ${leasedEvent('event_id', 'FOR UPDATE')} AS b)`;

/**
 * SQL that ends the leases of deliveries before their time, with no attempt spent, where they are
 * still leased under their token. Parameters: {@link LEASED_DELIVERIES}.
 * @param dueAt SQL: when they are due; NULL: they are deferred
 */
export const releaseLeases = (dueAt: string): string => `
  WITH leased AS MATERIALIZED (
    SELECT d.id FROM ${LEASED_DELIVERIES.unnest('g')}
     CROSS JOIN ${rowOf('deliveries', 'id', 'id = g.id AND lease_token = g.token', 'FOR UPDATE')} AS d)
  UPDATE deliveries
     SET status = CASE WHEN attempts > budget_start THEN 'retrying' ELSE 'pending' END,
         lease_token = NULL, due_at = ${dueAt}
   WHERE ${keyIn('id', 'leased')}`;
