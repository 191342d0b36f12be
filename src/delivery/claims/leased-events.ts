import { texts } from '../../database/bulk.js';
import { rowOf } from '../../database/keyed-lookup.js';

/**
 * SQL to join with: the outbox row of the event `g`, if it is held under its token.
 * @param lock `FOR UPDATE`, or nothing
 */
export const leasedEvent = (columns: string, lock = ''): string =>
  rowOf('event_outbox', columns, 'event_id = g.event_id AND lease_token = g.token', lock);

/**
 * SQL that begins a statement: `held` has the ids of the events that are held under their token, whose
 * rows are locked. $1: their ids, $2: the tokens.
 */
export const WITH_LEASED_EVENTS = `
  WITH held AS MATERIALIZED (
    SELECT g.event_id FROM unnest(${texts(1)}, ${texts(2)}) AS g(event_id, token)
     CROSS JOIN ${leasedEvent('event_id', 'FOR UPDATE')} AS b)`;
