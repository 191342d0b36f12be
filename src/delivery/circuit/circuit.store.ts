import { Injectable } from '@nestjs/common';
import { literalColumn, textColumn, texts } from '../../database/bulk.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { type Circuit, isHealthy, CLOSED, type Phase, requestedProbeOf } from './circuit.js';

/** A circuit as it was read; version 0: there is no row yet. */
export interface StoredCircuit {
  webhookId: string;
  circuit: Circuit;
  version: number;
}

export interface CircuitChange {
  read: StoredCircuit;
  after: Circuit;
}

/** What was read at one moment of the database's clock. */
export interface CircuitsRead {
  nowMs: number;
  circuits: StoredCircuit[];
}

interface CircuitRow {
  now_ms: number;
  horizon: string;
  /** Null: no row matched. */
  webhook_id: string | null;
  state: Phase['kind'];
  since_ms: number | null;
  epoch: number;
  failures: number;
  failing_since_ms: number | null;
  last_failure_ms: number | null;
  last_error: string | null;
  probe_token: string | null;
  probe_lease_ms: number | null;
  requested_probe: string | null;
  counts_for_alert: boolean;
  opening_notified: boolean;
  version: string;
}

const ms = (column: string): string =>
  `round(extract(epoch FROM ${column}) * 1000)::double precision`;

/** Also where no row matches: there is always the time, and where to read on. */
const READ = `
  SELECT ${ms('clock_timestamp()')} AS now_ms,
         pg_snapshot_xmin(pg_current_snapshot())::text AS horizon,
         c.webhook_id, c.state, ${ms('c.since')} AS since_ms, c.epoch, c.failures,
         ${ms('c.failing_since')} AS failing_since_ms, ${ms('c.last_failure_at')} AS last_failure_ms,
         c.last_error, c.probe_token, c.probe_lease_ms, c.requested_probe, c.counts_for_alert,
         c.opening_notified, c.version
    FROM (VALUES (1)) AS always(one) LEFT JOIN webhook_circuits c`;

const READ_SOME = {
  name: 'read-circuits',
  text: `${READ} ON c.webhook_id = ANY(${texts(1)})`,
};

/** What is closed and forgiven is of interest only to those who have known it otherwise. */
const READ_TROUBLED = {
  name: 'read-circuits-troubled',
  text: `${READ}
      ON (c.state <> 'closed' OR c.failures > 0 OR c.since > now() - interval '1 minute')
     AND c.webhook_id IN (SELECT id FROM webhooks WHERE deleted_at IS NULL)`,
};

/**
 * A row carries the transaction of its last change. Every transaction below the oldest one that was
 * running at a read has been seen by it, so the next read begins there and misses nothing, however
 * late another one commits; some rows are read twice.
 */
const READ_CHANGED = {
  name: 'read-circuits-changed',
  text: `${READ} ON c.revision >= $1`,
};

const TIME = (column: string): string => `to_timestamp(${column} / 1000.0)`;

/** Compare and set: a row that somebody else has changed meanwhile is left as it is. */
const WRITE = {
  name: 'write-circuits',
  text: `
    WITH n AS (
      SELECT * FROM unnest(
        ${texts(1)}, $2::bigint[], ${texts(3)}, $4::double precision[], $5::int[], $6::int[],
        $7::double precision[], $8::double precision[], ${texts(9)}, ${texts(10)}, $11::int[],
        $12::boolean[], $13::boolean[], ${texts(14)}
      ) AS n(webhook_id, version, state, since, epoch, failures, failing_since, last_failure_at,
             last_error, probe_token, probe_lease_ms, counts_for_alert, opening_notified,
             requested_probe)),
    changed AS (
      UPDATE webhook_circuits c
         SET state = n.state, since = ${TIME('n.since')}, epoch = n.epoch, failures = n.failures,
             failing_since = ${TIME('n.failing_since')},
             last_failure_at = ${TIME('n.last_failure_at')}, last_error = n.last_error,
             probe_token = n.probe_token, probe_lease_ms = n.probe_lease_ms,
             counts_for_alert = n.counts_for_alert, opening_notified = n.opening_notified,
             requested_probe = n.requested_probe, version = n.version + 1,
             revision = pg_current_xact_id()::text::bigint
        FROM n WHERE c.webhook_id = n.webhook_id AND c.version = n.version
      RETURNING c.webhook_id),
    created AS (
      INSERT INTO webhook_circuits
        (webhook_id, state, since, epoch, failures, failing_since, last_failure_at, last_error,
         probe_token, probe_lease_ms, counts_for_alert, opening_notified,
             requested_probe, version, revision)
      SELECT webhook_id, state, ${TIME('since')}, epoch, failures, ${TIME('failing_since')},
             ${TIME('last_failure_at')}, last_error, probe_token, probe_lease_ms, counts_for_alert, opening_notified,
             requested_probe, 1,
             pg_current_xact_id()::text::bigint
        FROM n WHERE version = 0
      ON CONFLICT DO NOTHING
      RETURNING webhook_id),
    written AS (SELECT webhook_id FROM changed UNION ALL SELECT webhook_id FROM created)
    SELECT webhook_id, CASE WHEN $15 THEN pg_notify('${CHANNELS.circuits}', '') END FROM written`,
};

/** The table of circuits; which state follows upon which is decided elsewhere. */
@Injectable()
export class CircuitStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** One entry for each id, with or without a row. */
  async read(webhookIds: readonly string[]): Promise<CircuitsRead> {
    const rows = await this.postgres.run<CircuitRow>(READ_SOME, [
      textColumn(webhookIds, (id) => id),
    ]);
    const known = new Map(stored(rows).map((circuit) => [circuit.webhookId, circuit]));
    const circuits = webhookIds.map(
      (webhookId) => known.get(webhookId) ?? { webhookId, circuit: CLOSED, version: 0 },
    );
    return { nowMs: rows[0]!.now_ms, circuits };
  }

  /**
   * What has changed since an earlier read.
   * @param since the horizon of that read; undefined: all that is not healthy
   */
  async changes(since: string | undefined): Promise<CircuitsRead & { horizon: string }> {
    const rows = await (since === undefined
      ? this.postgres.run<CircuitRow>(READ_TROUBLED, [])
      : this.postgres.run<CircuitRow>(READ_CHANGED, [since]));
    return { nowMs: rows[0]!.now_ms, horizon: rows[0]!.horizon, circuits: stored(rows) };
  }

  /** @returns the webhooks whose change took effect */
  async write(changes: readonly CircuitChange[]): Promise<Set<string>> {
    const rows = await this.postgres.run<{ webhook_id: string }>(WRITE, [
      textColumn(changes, ({ read }) => read.webhookId),
      literalColumn(changes, ({ read }) => read.version),
      textColumn(changes, ({ after }) => after.phase.kind),
      literalColumn(changes, ({ after }) => after.phase.sinceMs),
      literalColumn(changes, ({ after }) => after.epoch),
      literalColumn(changes, ({ after }) => after.failures),
      literalColumn(changes, ({ after }) => after.failingSinceMs),
      literalColumn(changes, ({ after }) => after.lastFailureMs),
      textColumn(changes, ({ after }) => after.lastError),
      textColumn(changes, ({ after: { phase } }) => probeOf(phase)?.probe),
      literalColumn(changes, ({ after: { phase } }) => probeOf(phase)?.leaseMs),
      literalColumn(changes, ({ after }) => after.countsForAlert),
      literalColumn(changes, ({ after }) => after.openingNotified),
      textColumn(changes, ({ after: { phase } }) => requestedProbeOf(phase).requestedProbe),
      changes.some(concernsOthers),
    ]);
    return new Set(rows.map((row) => row.webhook_id));
  }
}

/** A further failure of a webhook that is failing anyway changes nothing that another one does. */
const concernsOthers = ({ read: { circuit }, after }: CircuitChange): boolean =>
  after.phase !== circuit.phase || isHealthy(after) !== isHealthy(circuit);

const probeOf = (phase: Phase) => (phase.kind === 'half_open' ? phase : undefined);

const stored = (rows: readonly CircuitRow[]): StoredCircuit[] =>
  rows.flatMap((row) =>
    row.webhook_id === null
      ? []
      : { webhookId: row.webhook_id, circuit: circuitOf(row), version: Number(row.version) },
  );

const circuitOf = (row: CircuitRow): Circuit => ({
  phase: phaseOf(row),
  epoch: row.epoch,
  failures: row.failures,
  failingSinceMs: row.failing_since_ms,
  lastFailureMs: row.last_failure_ms,
  lastError: row.last_error,
  countsForAlert: row.counts_for_alert,
  openingNotified: row.opening_notified,
});

function phaseOf(row: CircuitRow): Phase {
  const { state, since_ms: sinceMs, probe_token: probe, probe_lease_ms: leaseMs } = row;
  const requested = row.requested_probe === null ? {} : { requestedProbe: row.requested_probe };
  switch (state) {
    case 'closed':
      return { kind: 'closed', sinceMs };
    case 'open':
      return { kind: 'open', sinceMs: sinceMs ?? 0, ...requested };
    case 'half_open':
      return {
        kind: 'half_open',
        sinceMs: sinceMs ?? 0,
        probe: probe ?? '',
        leaseMs: leaseMs ?? 0,
        ...requested,
      };
  }
}
