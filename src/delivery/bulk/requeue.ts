/**
 * What it means, in SQL, that a delivery is owed again: for one that an operator sends again by hand
 * and for the many of a bulk operation alike. The delivery is `d`, its webhook is `w`.
 */

/**
 * A webhook with an order or a rate of its own is served by one process, which pulls what is held
 * for it; for any other the delivery falls due, and whoever finds it first sends it. While a circuit
 * is not closed, what is owed is pulled as well: then it is known which is the probe.
 */
export const REQUEUE_DUE = `
  CASE WHEN w.ordering = 'fifo' OR w.rate_limit IS NOT NULL OR w.batch IS NOT NULL
         OR w.max_concurrency IS NOT NULL
         OR EXISTS (SELECT 1 FROM webhook_circuits c
                     WHERE c.webhook_id = w.id AND c.state <> 'closed')
       THEN NULL ELSE now() END`;

/**
 * With a new budget of attempts; its history goes on. Out of the batch that it was in: under that id a
 * receiver has seen others, and might drop it as one that it knows.
 */
export const REQUEUE_SET = `
  status = 'pending', due_at = ${REQUEUE_DUE}, not_before = NULL, lease_token = NULL,
  budget_start = d.attempts, lost_leases = 0, completed_at = NULL, batch_id = NULL`;

/** An event that retention has dropped, or whose time to live is over, is not sent any more. */
export const STILL_SENDABLE = `(e.expires_at IS NULL OR e.expires_at > now())`;

/** A webhook that takes what is owed to it, now or when a person switches it on again. */
export const STILL_SERVED = `(w.deleted_at IS NULL AND w.disabled_reason IS NULL)`;
