import type { Client } from 'pg';
import type { Dump } from './records.js';

/** Columns by name: the dump must not use entities of the product. */
type Row = Record<string, unknown>;

/** The rows of all events whose type has this prefix, read over the harness's own connection. */
export async function dumpDatabase(client: Client, typePrefix: string): Promise<Dump> {
  const of = `type LIKE '${typePrefix}%'`;
  const events = await rows(client, `SELECT id, owner_id, body FROM events WHERE ${of}`);
  const deliveries = await rows(
    client,
    `SELECT to_jsonb(d) AS row FROM deliveries d WHERE event_${of}`,
  );
  const earlier = await rows(
    client,
    // What was marked while it was in flight is in the row of its delivery, too.
    `SELECT a.delivery_id, a.status_code, a.error, a.resent
       FROM delivery_attempts a JOIN deliveries d ON d.id = a.delivery_id
      WHERE d.event_${of} AND d.last_attempt_at IS DISTINCT FROM a.started_at`,
  );
  const circuits = await rows(
    client,
    `SELECT c.webhook_id, c.state, c.failures, c.probe_token FROM webhook_circuits c
       JOIN webhooks w ON w.id = c.webhook_id
      WHERE EXISTS (SELECT 1 FROM unnest(w.events) AS pattern WHERE pattern LIKE '${typePrefix}%')`,
  );
  const found = deliveries.map((delivery) => delivery['row'] as Row);
  return {
    events: events.map((row) => ({
      id: String(row['id']),
      ownerId: row['owner_id'] as string | null,
      body: String(row['body']),
    })),
    deliveries: found.map((row) => ({
      id: String(row['id']),
      eventId: String(row['event_id']),
      webhookId: String(row['webhook_id']),
      status: String(row['status']),
      completedAt: timeOf(row['completed_at']),
    })),
    attempts: [...earlier.map(attempt), ...found.flatMap(latestAttempt)],
    circuits: circuits.map((row) => ({
      webhookId: String(row['webhook_id']),
      state: String(row['state']),
      failures: Number(row['failures']),
      isProbing: row['probe_token'] !== null,
    })),
  };
}

const timeOf = (value: unknown): number | null =>
  typeof value === 'string' ? new Date(value).getTime() : null;

const attempt = (row: Row) => ({
  deliveryId: String(row['delivery_id']),
  statusCode: row['status_code'] as number | null,
  error: row['error'] as string | null,
  resent: row['resent'] === true,
});

/** The latest attempt is in the row of its delivery, earlier ones are in `delivery_attempts`. */
function latestAttempt(row: Row): Dump['attempts'] {
  if (!row['last_attempt_at']) return [];
  const [statusCode, error] = [row['last_status_code'], row['last_error']];
  return [
    {
      deliveryId: String(row['id']),
      statusCode: statusCode as number | null,
      error: error as string | null,
      resent: row['last_attempt_resent'] === true,
    },
  ];
}

/**
 * Counts what is still pending for these events: nothing, when the product is at rest.
 * @param untilMs only for events that were stored before
 */
export async function countPending(
  client: Client,
  typePrefix: string,
  untilMs = Date.now(),
): Promise<Pending> {
  const [row] = await rows(
    client,
    `WITH mine AS (SELECT id FROM events WHERE type LIKE '${typePrefix}%'
                      AND created_at <= to_timestamp(${untilMs / 1000})),
          own AS (SELECT d.* FROM deliveries d JOIN mine ON mine.id = d.event_id)
     SELECT (SELECT count(*)::int FROM event_outbox o JOIN mine ON mine.id = o.event_id) AS outbox,
            count(*) FILTER (WHERE status = 'delivering' OR lease_token IS NOT NULL)::int AS leased,
            count(*) FILTER (WHERE status IN ('pending', 'retrying'))::int AS waiting
       FROM own`,
  );
  return row as unknown as Pending;
}

export interface Pending {
  /** Accepted events that have not been attempted at every webhook. */
  outbox: number;
  /** Deliveries under a lease. */
  leased: number;
  /** Deliveries that wait for their next attempt. */
  waiting: number;
}

/** Counts the remaining work of the product for all events, including system events. */
export async function countRest(client: Client): Promise<Rest> {
  const [row] = await rows(
    client,
    `SELECT (SELECT count(*)::int FROM event_outbox) AS outbox,
            (SELECT count(*)::int FROM deliveries
              WHERE status = 'delivering' OR lease_token IS NOT NULL) AS leased,
            (SELECT count(*)::int FROM webhook_circuits WHERE probe_token IS NOT NULL) AS probing`,
  );
  return row as unknown as Rest;
}

export interface Rest {
  outbox: number;
  leased: number;
  /** Circuits with a probe in flight. */
  probing: number;
}

const rows = async (client: Client, text: string): Promise<Row[]> =>
  (await client.query<Row>(text)).rows;
