/**
 * SQL for the ids of events, from $1 on and before $2, that are still to be sent: those in the outbox,
 * and those that a bulk operation has not worked off. Retention keeps them together with their
 * deliveries, which say which webhooks have received them.
 */
export const PENDING_EVENTS = `
  SELECT event_id FROM event_outbox WHERE event_id >= $1 AND event_id < $2
   UNION SELECT chosen.event_id
           FROM bulk_operation_slices s, unnest(s.event_ids) AS chosen(event_id)
          WHERE chosen.event_id COLLATE "C" >= $1 AND chosen.event_id COLLATE "C" < $2`;
