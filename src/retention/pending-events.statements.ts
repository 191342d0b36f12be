/**
 * SQL for the ids of events, from one on and before another, that are still to be sent: those in the
 * outbox, and those that a bulk operation has not worked off. Retention keeps them together with their
 * deliveries, which say which webhooks have received them.
 */
export const pendingEvents = (from: string, before: string): string => `
  SELECT event_id FROM event_outbox WHERE event_id >= ${from} AND event_id < ${before}
   UNION SELECT chosen.event_id
           FROM bulk_operation_slices s, unnest(s.event_ids) AS chosen(event_id)
          WHERE chosen.event_id COLLATE "C" >= ${from} AND chosen.event_id COLLATE "C" < ${before}`;
