import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, Repository, type SelectQueryBuilder } from 'typeorm';
import { matchesSql } from '../shared/event-pattern.js';
import { firstSuffixAt } from '../shared/ids.js';
import { reachesSql, type Viewer } from '../shared/visibility.js';
import { bulk, type BulkRows, number, text, textList, texts } from '../database/bulk.js';
import { EventEntity } from '../database/entities/event.entity.js';
import { CHANNELS } from '../database/notification.listener.js';
import { PostgresClient, type PreparedStatement } from '../database/postgres.client.js';
import { isOutdatedSql } from '../webhooks/match-scope.js';
import type { EventQuery } from './events.dto.js';
import type { PreparedEvent } from './prepare.js';

/** An event to be written, with what its outbox row says. */
export interface EventRow {
  event: PreparedEvent;
  /** Webhooks that get their first attempt through the outbox row; none: there is no such row. */
  webhookIds: readonly string[];
  /** The first event of its publication, which stands for the key of that. */
  firstId: string;
}

/** A delivery to an exclusive webhook, which gets its row together with the event. */
export interface ExclusiveDelivery {
  deliveryId: string;
  eventId: string;
  webhookId: string;
}

/** A publication under an idempotency key. */
export interface KeyRow {
  ownerId: string;
  key: string;
  requestHash: string;
  eventIds: readonly string[];
}

/** Events that are written in one statement. */
export interface AppendRequest {
  rows: readonly EventRow[];
  exclusive: readonly ExclusiveDelivery[];
  /** The webhooks that the events were matched against: their scopes, and the version of all. */
  scopes: readonly string[];
  webhooksVersion: number;
  /** The lease of the outbox rows; `token` null: they belong to no worker yet. */
  lease: { token: string | null; leaseMs: number };
  /** The number of this node in the log. */
  publishedBy: number;
}

/** What has become of an {@link AppendRequest}, which was committed. */
export interface Appended {
  /** Scopes of webhooks that have changed since the events were matched; see {@link EventLogStore.append}. */
  outdated: ReadonlySet<string>;
  /** Of publications under keys: the first events of those that were written. */
  firstIds?: ReadonlySet<string>;
}

/** What an earlier publication under the same key has left. */
export interface EarlierPublication {
  requestHash: string;
  eventIds: string[];
}

const EVENT_COLUMNS = {
  id: text<EventRow>(({ event }) => event.id),
  owner_id: text<EventRow>(({ event }) => event.ownerId),
  type: text<EventRow>(({ event }) => event.type),
  subject: text<EventRow>(({ event }) => event.subject),
  body: text<EventRow>(({ event }) => event.body),
  priority: number<EventRow>('smallint', ({ event }) => event.priority),
  ttl_ms: number<EventRow>('bigint', ({ event }) => event.ttlMs),
};
const WITHIN_ROWS = bulk<EventRow>(EVENT_COLUMNS);
const PLAIN_COLUMNS = {
  ...EVENT_COLUMNS,
  webhook_ids: text<EventRow>(({ webhookIds }) => webhookIds.join(' ')),
};
const PLAIN_ROWS = bulk<EventRow>(PLAIN_COLUMNS);
const KEYED_ROWS = bulk<EventRow>({ ...PLAIN_COLUMNS, first_id: text(({ firstId }) => firstId) });
const KEY_ROWS = bulk<KeyRow>({
  owner_id: text(({ ownerId }) => ownerId),
  key: text(({ key }) => key),
  request_hash: text(({ requestHash }) => requestHash),
  event_ids: text(({ eventIds }) => eventIds.join(' ')),
});
const EXCLUSIVE_ROWS = bulk<ExclusiveDelivery>({
  id: text(({ deliveryId }) => deliveryId),
  event_id: text(({ eventId }) => eventId),
  webhook_id: text(({ webhookId }) => webhookId),
});

/** Numbers of the parameters behind the columns of the events; see {@link valuesOf}. */
const parametersAfter = ({ size }: BulkRows<EventRow>) => ({
  version: `$${size + 1}`,
  leaseMs: `$${size + 2}`,
  token: `$${size + 3}`,
  publishedBy: `$${size + 4}`,
  scopes: texts(size + 5),
  rest: size + 6,
});

/** The transaction of the event and the snapshot that it saw, read once per statement. */
const SNAPSHOT = `(SELECT pg_current_xact_id()::text::bigint), (SELECT pg_current_snapshot()::text)`;

/**
 * One statement and one commit for the events and their outbox rows. An event whose webhooks have
 * changed since it was matched is written as one of a caller's transaction is: a worker matches it,
 * and sends it to connections. So an event goes to exactly the webhooks of the moment in which it was
 * committed, and no change of a webhook makes a publication wait.
 *
 * Exclusive webhooks receive in order, so their deliveries become visible with the event. For all
 * others the rows of deliveries follow from the outbox row, and appear with their outcome.
 */
function append(
  { version, leaseMs, token, publishedBy, scopes }: ReturnType<typeof parametersAfter>,
  parts: { input: string; before?: string; exclusive?: string },
): string {
  const { input, before = '', exclusive = '' } = parts;
  return `
  WITH current AS (
    SELECT ARRAY(SELECT scope FROM webhook_match_versions
                  WHERE scope = ANY (${scopes}) AND version > ${version}) AS outdated),
  ${before}
  input AS (
    SELECT e.*, ${isOutdatedSql('e.owner_id', 'current.outdated')} AS is_outdated
      FROM current CROSS JOIN ${input}),
  logged AS (
    INSERT INTO events
      (id, owner_id, type, subject, body, priority, expires_at, tx, tx_snapshot, published_by)
    SELECT id, owner_id, type, subject, body, priority, now() + ttl_ms * interval '1 ms', ${SNAPSHOT},
           CASE WHEN NOT is_outdated THEN ${publishedBy}::int END FROM input),
  outbox AS (
    INSERT INTO event_outbox (event_id, webhook_ids, due_at, lease_token, expires_at)
    SELECT id,
           CASE WHEN NOT is_outdated THEN string_to_array(webhook_ids, ' ') END,
           CASE WHEN is_outdated THEN now() ELSE now() + ${leaseMs} * interval '1 ms' END,
           CASE WHEN NOT is_outdated THEN ${token}::text END,
           now() + ttl_ms * interval '1 ms'
      FROM input WHERE webhook_ids IS NOT NULL OR is_outdated)${exclusive}`;
}

/** What became of it. Sweepers are notified of the events that they have to match. */
const APPENDED = `
  outdated, CASE WHEN outdated <> '{}' THEN pg_notify('${CHANNELS.due}', '') END`;

/** @param first number of the first parameter of {@link EXCLUSIVE_ROWS} */
const insertExclusive = (first: number): string => `,
  exclusive AS (
    INSERT INTO deliveries (id, event_id, webhook_id, event_type, priority, status, attempts, expires_at)
    SELECT x.id, input.id, x.webhook_id, input.type, input.priority, 'pending', 0,
           now() + input.ttl_ms * interval '1 ms'
      FROM ${EXCLUSIVE_ROWS.unnest('x', first)}
      JOIN input ON input.id = x.event_id AND NOT input.is_outdated)`;

function plain(name: string, hasExclusive: boolean): PreparedStatement {
  const parameters = parametersAfter(PLAIN_ROWS);
  const statement = append(parameters, {
    input: PLAIN_ROWS.unnest('e'),
    exclusive: hasExclusive ? insertExclusive(parameters.rest) : '',
  });
  return { name, text: `${statement} SELECT ${APPENDED} FROM current` };
}
const APPEND = plain('append-events', false);
const APPEND_EXCLUSIVE = plain('append-events-exclusive', true);

/** The same for publications under a key: an event is written only if its key was new. */
function keyed(name: string, hasExclusive: boolean): PreparedStatement {
  const parameters = parametersAfter(KEYED_ROWS);
  const statement = append(parameters, {
    // In the same order on every node, so that two with the same keys wait and never deadlock.
    before: `
      claimed AS (
        INSERT INTO idempotency_keys (owner_id, key, request_hash, event_ids)
        SELECT k.owner_id, k.key, k.request_hash, string_to_array(k.event_ids, ' ')
          FROM ${KEY_ROWS.unnest('k', parameters.rest)}
         ORDER BY k.owner_id, k.key
        ON CONFLICT DO NOTHING
        RETURNING event_ids),`,
    input: `claimed JOIN ${KEYED_ROWS.unnest('e')} ON claimed.event_ids[1] = e.first_id`,
    exclusive: hasExclusive ? insertExclusive(parameters.rest + KEY_ROWS.size) : '',
  });
  return {
    name,
    text: `${statement}
      SELECT ${APPENDED}, ARRAY(SELECT event_ids[1] FROM claimed) AS claimed FROM current`,
  };
}
const APPEND_KEYED = keyed('append-events-keyed', false);
const APPEND_KEYED_EXCLUSIVE = keyed('append-events-keyed-exclusive', true);

/** Into a caller's own transaction: the worker that finds the outbox row matches and broadcasts. */
const APPEND_WITHIN = `
  WITH input AS (SELECT * FROM ${WITHIN_ROWS.unnest('e')}),
  logged AS (
    INSERT INTO events (id, owner_id, type, subject, body, priority, expires_at, tx, tx_snapshot)
    SELECT id, owner_id, type, subject, body, priority, now() + ttl_ms * interval '1 ms', ${SNAPSHOT}
      FROM input)
  INSERT INTO event_outbox (event_id, webhook_ids, due_at, lease_token, expires_at)
  SELECT id, NULL, now(), NULL, now() + ttl_ms * interval '1 ms' FROM input`;

const FIND_EARLIER = {
  name: 'find-earlier-publication',
  text: `SELECT request_hash, event_ids FROM idempotency_keys WHERE owner_id = $1 AND key = $2`,
};

/** The event log: statements that append to it and read it. */
@Injectable()
export class EventLogStore {
  constructor(
    private readonly postgres: PostgresClient,
    @InjectRepository(EventEntity) private readonly events: Repository<EventEntity>,
  ) {}

  /**
   * Writes the events. Those of an outdated scope were matched in vain: a worker matches them again.
   */
  async append(request: AppendRequest): Promise<Appended> {
    const { exclusive } = request;
    const [row] = await this.postgres.run<{ outdated: string[] }>(
      exclusive.length > 0 ? APPEND_EXCLUSIVE : APPEND,
      [...valuesOf(PLAIN_ROWS, request), ...exclusiveValues(exclusive)],
    );
    return { outdated: new Set(row!.outdated) };
  }

  /** {@link append} for publications under a key, of which those are written whose key is new. */
  async appendKeyed(request: AppendRequest, keys: readonly KeyRow[]): Promise<Appended> {
    const { exclusive } = request;
    const [row] = await this.postgres.run<{ outdated: string[]; claimed: string[] }>(
      exclusive.length > 0 ? APPEND_KEYED_EXCLUSIVE : APPEND_KEYED,
      [...valuesOf(KEYED_ROWS, request), ...KEY_ROWS.values(keys), ...exclusiveValues(exclusive)],
    );
    return { outdated: new Set(row!.outdated), firstIds: new Set(row!.claimed) };
  }

  /** Writes the events in the caller's transaction; workers are notified when it commits. */
  async appendWithin(manager: EntityManager, events: readonly PreparedEvent[]): Promise<void> {
    const rows = events.map((event) => ({ event, webhookIds: [], firstId: event.id }));
    await manager.query(APPEND_WITHIN, WITHIN_ROWS.values(rows));
    // PostgreSQL sends it with the commit, and not at all after a rollback.
    await manager.query(`SELECT pg_notify('${CHANNELS.due}', '')`);
  }

  async findEarlier(ownerId: string, key: string): Promise<EarlierPublication | undefined> {
    const [row] = await this.postgres.run<{ request_hash: string; event_ids: string[] }>(
      FIND_EARLIER,
      [ownerId, key],
    );
    return row && { requestHash: row.request_hash, eventIds: row.event_ids };
  }

  find(id: string): Promise<EventEntity | null> {
    return this.events.findOneBy({ id });
  }

  /**
   * Events that the viewer may see, newest first.
   * @param cursor only events with a smaller id
   */
  list(viewer: Viewer, query: EventQuery, cursor?: string): Promise<EventEntity[]> {
    const { ownerId, topics } = viewer;
    const select = this.events.createQueryBuilder('e').orderBy('e.id', 'DESC').limit(query.limit);
    select.where(reachesSql('CAST(:ownerId AS text)', 'e.owner_id'), { ownerId });
    if (query.ownerId !== undefined)
      select.andWhere('e.owner_id = :named', { named: query.ownerId });
    if (topics) whereMatches(select, 'topic', topics);
    if (query.type !== undefined) whereMatches(select, 'type', [query.type]);
    if (query.subject !== undefined) select.andWhere('e.subject = :subject', query);
    if (cursor !== undefined) select.andWhere('e.id < :cursor', { cursor });
    // By id, which contains the time of acceptance, so that an index serves it.
    if (query.since) select.andWhere('e.id >= :since', { since: firstId(query.since) });
    if (query.until) select.andWhere('e.id < :until', { until: firstId(query.until) });
    return select.getMany();
  }
}

const valuesOf = (columns: BulkRows<EventRow>, request: AppendRequest): unknown[] => [
  ...columns.values(request.rows),
  request.webhooksVersion,
  request.lease.leaseMs,
  request.lease.token,
  request.publishedBy,
  textList(request.scopes),
];

/** None at all where there are no rows: then the statement has no such parameters. */
const exclusiveValues = (rows: readonly ExclusiveDelivery[]): string[] =>
  rows.length === 0 ? [] : EXCLUSIVE_ROWS.values(rows);

const firstId = (time: Date): string => `evt_${firstSuffixAt(time.getTime())}`;

/** @param name prefix of the parameters' names */
function whereMatches(
  select: SelectQueryBuilder<EventEntity>,
  name: string,
  patterns: readonly string[],
): void {
  const parameters = Object.fromEntries(patterns.map((p, index) => [`${name}${index}`, p]));
  const alternatives = Object.keys(parameters).map((key) => matchesSql(`:${key}`, 'e.type'));
  select.andWhere(`(${alternatives.join(' OR ') || 'false'})`, parameters);
}
