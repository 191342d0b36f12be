import { Injectable } from '@nestjs/common';
import { bulk, flag, number, text, textColumn, texts } from '../../database/bulk.js';
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

/** Circuits that were read, with the time of the database's clock. */
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
  paused_until_ms: number | null;
  pauses: number;
  version: string;
}

const ms = (column: string): string =>
  `round(extract(epoch FROM ${column}) * 1000)::double precision`;

/** One row even where no circuit matches: for the time, and for the point to read on from. */
const READ = `
  SELECT ${ms('clock_timestamp()')} AS now_ms,
         pg_snapshot_xmin(pg_current_snapshot())::text AS horizon,
         c.webhook_id, c.state, ${ms('c.since')} AS since_ms, c.epoch, c.failures,
         ${ms('c.failing_since')} AS failing_since_ms, ${ms('c.last_failure_at')} AS last_failure_ms,
         c.last_error, c.probe_token, c.probe_lease_ms, c.requested_probe, c.counts_for_alert,
         c.opening_notified, ${ms('c.paused_until')} AS paused_until_ms, c.pauses, c.version
    FROM (VALUES (1)) AS one_row(n) LEFT JOIN webhook_circuits c`;

const READ_OF_WEBHOOKS = {
  name: 'read-circuits',
  text: `${READ} ON c.webhook_id = ANY(${texts(1)})`,
};

/** For a node that starts: healthy circuits matter only to nodes that have seen them unhealthy. */
const READ_UNHEALTHY = {
  name: 'read-circuits-unhealthy',
  text: `${READ}
      ON (c.state <> 'closed' OR c.failures > 0 OR c.pauses > 0 OR c.paused_until > now()
          OR c.since > now() - interval '1 minute')
     AND c.webhook_id IN (SELECT id FROM webhooks WHERE deleted_at IS NULL)`,
};

/**
 * `revision` is the transaction of the last change. A read has seen all transactions that are older
 * than the oldest one running at that time, so the next read starts there: it misses nothing, however
 * late a transaction commits, and reads some rows twice.
 */
const READ_CHANGED = {
  name: 'read-circuits-changed',
  text: `${READ} ON c.revision >= $1`,
};

const CHANGES = bulk<CircuitChange>({
  webhook_id: text(({ read }) => read.webhookId),
  version: number('bigint', ({ read }) => read.version),
  state: text(({ after }) => after.phase.kind),
  since_ms: number('double precision', ({ after }) => after.phase.sinceMs),
  epoch: number('int', ({ after }) => after.epoch),
  failures: number('int', ({ after }) => after.failures),
  failing_since_ms: number('double precision', ({ after }) => after.failingSinceMs),
  last_failure_ms: number('double precision', ({ after }) => after.lastFailureMs),
  last_error: text(({ after }) => after.lastError),
  probe_token: text(({ after }) => probeOf(after.phase)?.probe),
  probe_lease_ms: number('int', ({ after }) => probeOf(after.phase)?.leaseMs),
  requested_probe: text(({ after }) => requestedProbeOf(after.phase).requestedProbe),
  counts_for_alert: flag(({ after }) => after.countsForAlert),
  opening_notified: flag(({ after }) => after.openingNotified),
  paused_until_ms: number('double precision', ({ after }) => after.pausedUntilMs),
  pauses: number('int', ({ after }) => after.pauses),
});

const time = (msColumn: string): string => `to_timestamp(${msColumn} / 1000.0)`;

/** Compare and set: a row that another node has changed since the read is left as it is. */
const WRITE = {
  name: 'write-circuits',
  text: `
    WITH n AS (SELECT * FROM ${CHANGES.unnest('n')}),
    changed AS (
      UPDATE webhook_circuits c
         SET state = n.state, since = ${time('n.since_ms')}, epoch = n.epoch, failures = n.failures,
             failing_since = ${time('n.failing_since_ms')},
             last_failure_at = ${time('n.last_failure_ms')}, last_error = n.last_error,
             probe_token = n.probe_token, probe_lease_ms = n.probe_lease_ms,
             requested_probe = n.requested_probe, counts_for_alert = n.counts_for_alert,
             opening_notified = n.opening_notified, paused_until = ${time('n.paused_until_ms')},
             pauses = n.pauses, version = n.version + 1,
             revision = pg_current_xact_id()::text::bigint
        FROM n WHERE c.webhook_id = n.webhook_id AND c.version = n.version
      RETURNING c.webhook_id),
    created AS (
      INSERT INTO webhook_circuits
        (webhook_id, state, since, epoch, failures, failing_since, last_failure_at, last_error,
         probe_token, probe_lease_ms, requested_probe, counts_for_alert, opening_notified,
         paused_until, pauses, version, revision)
      SELECT webhook_id, state, ${time('since_ms')}, epoch, failures, ${time('failing_since_ms')},
             ${time('last_failure_ms')}, last_error, probe_token, probe_lease_ms, requested_probe,
             counts_for_alert, opening_notified, ${time('paused_until_ms')}, pauses, 1,
             pg_current_xact_id()::text::bigint
        FROM n WHERE version = 0
      ON CONFLICT DO NOTHING
      RETURNING webhook_id),
    written AS (SELECT webhook_id FROM changed UNION ALL SELECT webhook_id FROM created)
    SELECT webhook_id,
           CASE WHEN $${CHANGES.size + 1} THEN pg_notify('${CHANNELS.circuits}', '') END
      FROM written`,
};

/** The table of circuits. */
@Injectable()
export class CircuitStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** One entry for each id, with or without a row. */
  async read(webhookIds: readonly string[]): Promise<CircuitsRead> {
    const rows = await this.postgres.run<CircuitRow>(READ_OF_WEBHOOKS, [
      textColumn(webhookIds, (id) => id),
    ]);
    const stored = new Map(storedOf(rows).map((circuit) => [circuit.webhookId, circuit]));
    const circuits = webhookIds.map(
      (webhookId) => stored.get(webhookId) ?? { webhookId, circuit: CLOSED, version: 0 },
    );
    return { nowMs: rows[0]!.now_ms, circuits };
  }

  /**
   * The circuits that have changed since an earlier read, or more.
   * @param since the horizon of that read; undefined: all that are not healthy
   */
  async changes(since: string | undefined): Promise<CircuitsRead & { horizon: string }> {
    const rows = await (since === undefined
      ? this.postgres.run<CircuitRow>(READ_UNHEALTHY, [])
      : this.postgres.run<CircuitRow>(READ_CHANGED, [since]));
    return { nowMs: rows[0]!.now_ms, horizon: rows[0]!.horizon, circuits: storedOf(rows) };
  }

  /** @returns the webhooks whose change took effect */
  async write(changes: readonly CircuitChange[]): Promise<Set<string>> {
    const rows = await this.postgres.run<{ webhook_id: string }>(WRITE, [
      ...CHANGES.values(changes),
      changes.some(concernsOthers),
    ]);
    return new Set(rows.map((row) => row.webhook_id));
  }
}

/** Other nodes need not know of one more failure of a webhook that is failing anyway. */
const concernsOthers = ({ read: { circuit }, after }: CircuitChange): boolean =>
  after.phase !== circuit.phase ||
  after.pausedUntilMs !== circuit.pausedUntilMs ||
  isHealthy(after) !== isHealthy(circuit);

const probeOf = (phase: Phase) => (phase.kind === 'half_open' ? phase : undefined);

const storedOf = (rows: readonly CircuitRow[]): StoredCircuit[] =>
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
  pausedUntilMs: row.paused_until_ms,
  pauses: row.pauses,
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
