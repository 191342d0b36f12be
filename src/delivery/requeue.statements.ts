import { needsExclusiveLeaseSql } from '../webhooks/dispatch-policy.dto.js';

/**
 * SQL of requeueing: what it means to make a final delivery pending again, for one delivery and for
 * the many of a bulk operation alike. The delivery is `d`, its webhook `w`, its event `e`.
 */

/**
 * An exclusive webhook is served by one node, which pulls its backlog, so the delivery is deferred;
 * so it is while a circuit is not closed, because the pull decides which delivery is the probe. For
 * any other webhook the delivery is due at once, and the sweeper of any worker claims it.
 */
export const REQUEUE_DUE = `
  CASE WHEN ${needsExclusiveLeaseSql('w')}
         OR EXISTS (SELECT 1 FROM webhook_circuits c
                     WHERE c.webhook_id = w.id AND c.state <> 'closed')
       THEN NULL ELSE now() END`;

/**
 * With a new budget of attempts; the numbers of attempts continue. Its batch is left: under that id
 * the receiver has seen other events, and might drop these as known.
 */
export const REQUEUE_SET = `
  status = 'pending', due_at = ${REQUEUE_DUE}, not_before = NULL, lease_token = NULL,
  budget_start = d.attempts, lost_leases = 0, completed_at = NULL, batch_id = NULL`;

/** An event that retention has dropped, or whose time to live is over, is not sent any more. */
export const STILL_SENDABLE = `(e.expires_at IS NULL OR e.expires_at > now())`;

/** Neither deleted nor disabled by the engine; a webhook that a user has paused is served later. */
export const STILL_SERVED = `(w.deleted_at IS NULL AND w.disabled_reason IS NULL)`;
