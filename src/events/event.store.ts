import { randomInt } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { UnavailableError } from '../shared/app-error.js';
import { Semaphore } from '../shared/semaphore.js';
import { literalColumn, textColumn, texts } from '../database/bulk.js';
import { GroupCommit } from '../database/group-commit.js';
import { CHANNELS } from '../database/notification.listener.js';
import { PostgresClient, type PreparedStatement } from '../database/postgres.client.js';
import { isContention, isItemsFault, isStoreOutage } from '../database/sql-errors.js';
import { deliveryId } from '../delivery/delivery-id.js';
import {
  type CommittedEvent,
  DeliveryDispatcher,
} from '../delivery/handover/dispatcher.service.js';
import { DeferredNotifier } from '../delivery/signals/deferred-notifier.service.js';
import { RealtimePublisher } from '../realtime/realtime.publisher.js';
import type { RegisteredWebhook } from '../webhooks/registered-webhook.js';
import { WebhookCache } from '../webhooks/webhook-cache.service.js';
import type { PreparedEvent } from './prepare.js';

/** Events that are accepted together or not at all, perhaps under a key. */
export interface Publication {
  events: readonly PreparedEvent[];
  idempotency?: { ownerId: string; key: string; requestHash: string };
}

/** What an earlier publication under the same key left. */
export interface EarlierPublication {
  requestHash: string;
  eventIds: string[];
}

/** Its transaction and what that one saw, asked for once per statement; see EventEntity. */
const MOMENT = `(SELECT pg_current_xact_id()::text::bigint), (SELECT pg_current_snapshot()::text)`;

/**
 * One statement, one commit: the events, and what is owed for them. It writes only if the webhooks
 * are still those that the events were matched against; else it writes nothing and the caller
 * matches again. So an event is owed to exactly the webhooks of its own moment.
 *
 * Webhooks with a lane are sent to in order, so what they are owed becomes visible with the event;
 * for all others the delivery rows follow from the outbox row, and appear with their outcome.
 */
const append = (input: string, before: string, laned: string): string => `
  WITH registry AS (SELECT version FROM webhook_versions WHERE id = 1),
  ${before}
  input AS (${input}),
  logged AS (
    INSERT INTO events
      (id, owner_id, type, subject, body, priority, expires_at, tx, tx_snapshot, published_by)
    SELECT id, owner_id, type, subject, body, priority, now() + ttl_ms * interval '1 ms', ${MOMENT},
           $12 FROM input),
  owed AS (
    INSERT INTO event_outbox (event_id, webhook_ids, due_at, lease_token, expires_at)
    SELECT id, string_to_array(webhook_ids, ' '), now() + $10 * interval '1 ms', $11,
           now() + ttl_ms * interval '1 ms'
      FROM input WHERE webhook_ids IS NOT NULL)${laned}`;

/** @param at the parameter that the columns of the deliveries with a lane begin with */
const holdLaned = (at: number): string => `,
  laned AS (
    INSERT INTO deliveries (id, event_id, webhook_id, event_type, priority, status, attempts, expires_at)
    SELECT l.id, input.id, l.webhook_id, input.type, input.priority, 'pending', 0,
           now() + input.ttl_ms * interval '1 ms'
      FROM unnest(${texts(at)}, ${texts(at + 1)}, ${texts(at + 2)}) AS l(id, event_id, webhook_id)
      JOIN input ON input.id = l.event_id)`;

const UNNESTED = `
  unnest(${texts(1)}, ${texts(2)}, ${texts(3)}, ${texts(4)}, ${texts(5)},
         $6::smallint[], $7::bigint[], ${texts(8)}`;

const plain = (name: string, laned: string): PreparedStatement => ({
  name,
  text: `${append(
    `SELECT e.* FROM registry,
       ${UNNESTED}) AS e(id, owner_id, type, subject, body, priority, ttl_ms, webhook_ids)
      WHERE registry.version = $9`,
    '',
    laned,
  )}
  SELECT version FROM registry`,
});
const APPEND = plain('append-events', '');
const APPEND_LANED = plain('append-events-laned', holdLaned(13));

/** The same for publications under a key: an event is written only if its key was new. */
const keyed = (name: string, laned: string): PreparedStatement => ({
  name,
  text: `${append(
    `SELECT e.* FROM claimed JOIN
       ${UNNESTED}, ${texts(17)}) AS
       e(id, owner_id, type, subject, body, priority, ttl_ms, webhook_ids, first_id)
       ON claimed.event_ids[1] = e.first_id`,
    // In one order everywhere, so that two processes with the same keys wait and never deadlock.
    `claimed AS (
       INSERT INTO idempotency_keys (owner_id, key, request_hash, event_ids)
       SELECT k.owner_id, k.key, k.request_hash, string_to_array(k.event_ids, ' ')
         FROM registry, unnest(${texts(13)}, ${texts(14)}, ${texts(15)}, ${texts(16)})
           AS k(owner_id, key, request_hash, event_ids)
        WHERE registry.version = $9
        ORDER BY k.owner_id, k.key
       ON CONFLICT DO NOTHING
       RETURNING event_ids),`,
    laned,
  )}
  SELECT version, ARRAY(SELECT event_ids[1] FROM claimed) AS claimed FROM registry`,
});
const APPEND_KEYED = keyed('append-events-keyed', '');
const APPEND_KEYED_LANED = keyed('append-events-keyed-laned', holdLaned(18));

/** Into a caller's own transaction: to be matched and told to the sockets once it has committed. */
const APPEND_WITHIN = `
  WITH input AS (
    SELECT * FROM unnest(${texts(1)}, ${texts(2)}, ${texts(3)}, ${texts(4)}, ${texts(5)},
                         $6::smallint[], $7::bigint[])
      AS e(id, owner_id, type, subject, body, priority, ttl_ms)),
  logged AS (
    INSERT INTO events (id, owner_id, type, subject, body, priority, expires_at, tx, tx_snapshot)
    SELECT id, owner_id, type, subject, body, priority, now() + ttl_ms * interval '1 ms', ${MOMENT}
      FROM input)
  INSERT INTO event_outbox (event_id, webhook_ids, due_at, lease_token, expires_at)
  SELECT id, NULL, now(), NULL, now() + ttl_ms * interval '1 ms' FROM input`;

const FIND_EARLIER = {
  name: 'find-earlier-publication',
  text: `SELECT request_hash, event_ids FROM idempotency_keys WHERE owner_id = $1 AND key = $2`,
};

/** A delivery to a webhook with a lane, which gets its row with the event. */
interface LanedDelivery {
  eventId: string;
  webhookId: string;
}

const MAX_TRIES = 5;

/** Of ids that name a process in the log: the range of PostgreSQL's `integer`. */
const TELLERS = 2 ** 31;

/**
 * Appends to the log, many publications in one durable commit, and sends them on their way after it.
 *
 * One statement at a time: so the sockets hear what this process writes in the order in which it was
 * committed, and whoever has heard one event has heard those before it. Waiting for the one before
 * only makes the groups larger.
 */
@Injectable()
export class EventStore {
  private readonly teller = randomInt(1, TELLERS);
  private readonly turns = new Semaphore(1);
  private readonly plain = this.group((publications) => this.writePlain(publications));
  private readonly keyed = this.group((publications) => this.writeKeyed(publications));

  constructor(
    private readonly postgres: PostgresClient,
    private readonly registry: WebhookCache,
    private readonly dispatcher: DeliveryDispatcher,
    private readonly deferred: DeferredNotifier,
    private readonly realtime: RealtimePublisher,
  ) {}

  /**
   * Settles once the events are committed.
   * @returns false if a publication under the same key was there already, and nothing was written
   * @throws UnavailableError if the store is away: then nothing was accepted
   */
  async append(publication: Publication): Promise<boolean> {
    try {
      return await (publication.idempotency ? this.keyed : this.plain).add(publication);
    } catch (error) {
      throw isStoreOutage(error) || isContention(error)
        ? new UnavailableError('The event log is not available; nothing was accepted.', {
            cause: error,
          })
        : error;
    }
  }

  /** Writes the events in the caller's transaction; they go out when it commits, if it commits. */
  async appendWithin(manager: EntityManager, events: readonly PreparedEvent[]): Promise<void> {
    await manager.query(APPEND_WITHIN, eventColumns(events));
    // Sent by PostgreSQL with the commit, and not at all after a rollback.
    await manager.query(`SELECT pg_notify('${CHANNELS.due}', '')`);
  }

  async findEarlier(ownerId: string, key: string): Promise<EarlierPublication | undefined> {
    const [row] = await this.postgres.run<{ request_hash: string; event_ids: string[] }>(
      FIND_EARLIER,
      [ownerId, key],
    );
    return row && { requestHash: row.request_hash, eventIds: row.event_ids };
  }

  private group(
    write: (publications: Publication[]) => Promise<boolean[]>,
  ): GroupCommit<Publication, boolean> {
    return new GroupCommit({
      write: (publications) => this.turns.take(() => write(publications)),
      maxInFlight: 1,
      rows: ({ events }) => events.length,
      isItemsFault,
      now: () => performance.now(),
    });
  }

  private async writePlain(publications: Publication[]): Promise<boolean[]> {
    const events = publications.flatMap((publication) => publication.events);
    await this.written(events, async (columns, laned) => {
      const [row] = await this.postgres.run<{ version: string }>(
        laned.length > 0 ? APPEND_LANED : APPEND,
        [...columns, ...laned],
      );
      return { version: Number(row!.version), isWritten: () => true };
    });
    return publications.map(() => true);
  }

  private async writeKeyed(publications: Publication[]): Promise<boolean[]> {
    const events = publications.flatMap((publication) => publication.events);
    const keys = keyColumns(publications);
    const firstIds = publications.flatMap((p) => p.events.map(() => p.events[0]!.id));
    const isNew = new Set<string>();
    await this.written(events, async (columns, laned) => {
      const [row] = await this.postgres.run<{ version: string; claimed: string[] }>(
        laned.length > 0 ? APPEND_KEYED_LANED : APPEND_KEYED,
        [...columns, ...keys, firstIds.join('\u001e'), ...laned],
      );
      for (const id of row!.claimed) isNew.add(id);
      return {
        version: Number(row!.version),
        isWritten: (index) => isNew.has(firstIds[index]!),
      };
    });
    return publications.map(({ events: [first] }) => isNew.has(first!.id));
  }

  /** Matches, writes, and dispatches; again with fresh webhooks if they changed in between. */
  private async written(
    events: readonly PreparedEvent[],
    write: (
      columns: unknown[],
      laned: string[],
    ) => Promise<{ version: number; isWritten: (index: number) => boolean }>,
  ): Promise<void> {
    for (let tries = 1; ; tries++) {
      const { version } = this.registry;
      const { matched, laned } = this.match(events);
      const handover = this.dispatcher.handover(matched);
      const columns = [
        ...eventColumns(events),
        textColumn(matched, (webhooks) => joinIds(webhooks)),
        version,
        handover.leaseMs,
        handover.token,
        this.teller,
      ];
      const answer = await this.retryContention(() => write(columns, lanedColumns(laned)));
      if (answer.version === version) {
        this.realtime.publish(byId(events.filter((_, index) => answer.isWritten(index))));
        this.dispatcher.dispatch(committed(events, matched, answer.isWritten), handover);
        this.deferred.announce(laned.map(({ webhookId }) => webhookId));
        return;
      }
      if (tries === MAX_TRIES) throw new UnavailableError('The webhooks are changing too fast.');
      await this.registry.refresh();
    }
  }

  /** Per event the webhooks that are sent to directly; those with a lane apart. */
  private match(events: readonly PreparedEvent[]): {
    matched: (readonly RegisteredWebhook[])[];
    laned: LanedDelivery[];
  } {
    const laned: LanedDelivery[] = [];
    const matched = events.map(({ id, ownerId, type }) => {
      const webhooks = this.registry.match(ownerId, type);
      if (!webhooks.some(({ needsExclusiveLease }) => needsExclusiveLease)) return webhooks;
      return webhooks.filter((webhook) => {
        if (webhook.needsExclusiveLease) laned.push({ eventId: id, webhookId: webhook.id });
        return !webhook.needsExclusiveLease;
      });
    });
    return { matched, laned };
  }

  private async retryContention<T>(run: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await run();
      } catch (error) {
        if (!isContention(error) || tries === MAX_TRIES) throw error;
      }
    }
  }
}

/** Only those that have somebody to go to; the bytes are made once for all of them. */
function committed(
  events: readonly PreparedEvent[],
  matched: readonly (readonly RegisteredWebhook[])[],
  isWritten: (index: number) => boolean,
): CommittedEvent[] {
  const result: CommittedEvent[] = [];
  const nowMs = Date.now();
  for (let index = 0; index < events.length; index++) {
    const webhooks = matched[index]!;
    if (webhooks.length === 0 || !isWritten(index)) continue;
    const { id, type, body, priority, ttlMs } = events[index]!;
    const expiresAtMs = ttlMs === null ? undefined : nowMs + ttlMs;
    result.push({
      event: { id, type, body: Buffer.from(body), priority, expiresAtMs },
      webhookIds: webhooks.map((webhook) => webhook.id),
    });
  }
  return result;
}

function eventColumns(events: readonly PreparedEvent[]): string[] {
  return [
    textColumn(events, ({ id }) => id),
    textColumn(events, ({ ownerId }) => ownerId),
    textColumn(events, ({ type }) => type),
    textColumn(events, ({ subject }) => subject),
    textColumn(events, ({ body }) => body),
    literalColumn(events, ({ priority }) => priority),
    literalColumn(events, ({ ttlMs }) => ttlMs),
  ];
}

/** None at all when there are none: then the statement has no such parameters. */
const lanedColumns = (laned: readonly LanedDelivery[]): string[] =>
  laned.length === 0
    ? []
    : [
        textColumn(laned, ({ eventId, webhookId }) => deliveryId(eventId, webhookId)),
        textColumn(laned, ({ eventId }) => eventId),
        textColumn(laned, ({ webhookId }) => webhookId),
      ];

function keyColumns(publications: readonly Publication[]): string[] {
  return [
    textColumn(publications, ({ idempotency }) => idempotency?.ownerId),
    textColumn(publications, ({ idempotency }) => idempotency?.key),
    textColumn(publications, ({ idempotency }) => idempotency?.requestHash),
    textColumn(publications, ({ events }) => events.map(({ id }) => id).join(' ')),
  ];
}

/** The order that those who come back take them to have been told in, within a statement. */
const byId = (events: readonly PreparedEvent[]): PreparedEvent[] =>
  events.toSorted((one, other) => (one.id < other.id ? -1 : 1));

const joinIds = (webhooks: readonly RegisteredWebhook[]): string =>
  webhooks.map(({ id }) => id).join(' ');
