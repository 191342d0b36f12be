import { randomInt } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { UnavailableError } from '../shared/app-error.js';
import { Semaphore } from '../shared/semaphore.js';
import { Clock } from '../database/clock.service.js';
import { GroupCommit } from '../database/group-commit.js';
import { isContention, isItemsFault, isStoreOutage } from '../database/sql-errors.js';
import { DeferredNotifier } from '../delivery/signals/deferred-notifier.service.js';
import { deliveryId } from '../delivery/delivery-id.js';
import {
  type CommittedEvent,
  DeliveryDispatcher,
} from '../delivery/handover/dispatcher.service.js';
import { RealtimePublisher } from '../realtime/realtime.publisher.js';
import type { RegisteredWebhook } from '../webhooks/registered-webhook.js';
import { WebhookCache } from '../webhooks/webhook-cache.service.js';
import {
  type AppendRequest,
  EventLogStore,
  type EventRow,
  type ExclusiveDelivery,
  type KeyRow,
} from './event-log.store.js';
import type { PreparedEvent } from './prepare.js';

/** Events that are accepted together or not at all, perhaps under a key. */
export interface Publication {
  events: readonly PreparedEvent[];
  idempotency?: { ownerId: string; key: string; requestHash: string };
}

/** An event of a group commit, with what it was matched against. */
interface MatchedEvent extends EventRow {
  /** Those of `webhookIds`. */
  webhooks: readonly RegisteredWebhook[];
  /** Webhooks that one node serves: their deliveries are deferred until that node pulls them. */
  exclusive: readonly ExclusiveDelivery[];
}

const MAX_TRIES = 5;

/** Numbers of nodes in the log have the range of PostgreSQL's `integer`. */
const MAX_NODE_NUMBER = 2 ** 31;

/**
 * How an event is published: it is matched against the webhooks, committed, handed over to a worker
 * and sent to the live connections. Many publications share one statement and one commit.
 *
 * One statement at a time, so that connections receive what this node publishes in the order in which
 * it was committed: a client that has received an event has received those before it. Waiting for the
 * statement before only makes the groups larger.
 */
@Injectable()
export class EventPublisher {
  private readonly nodeNumber = randomInt(1, MAX_NODE_NUMBER);
  private readonly turn = new Semaphore(1);
  private readonly plain = this.groupCommit();
  private readonly keyed = this.groupCommit();

  constructor(
    private readonly log: EventLogStore,
    private readonly webhooks: WebhookCache,
    private readonly dispatcher: DeliveryDispatcher,
    private readonly deferred: DeferredNotifier,
    private readonly realtime: RealtimePublisher,
    private readonly clock: Clock,
  ) {}

  /**
   * Settles once the events are committed.
   * @returns false if the key of the publication was used before, and nothing was written
   * @throws UnavailableError if PostgreSQL cannot be reached: then nothing was accepted
   */
  async publish(publication: Publication): Promise<boolean> {
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

  /** In the caller's transaction: a worker does the rest when it commits, if it commits. */
  publishWithin(manager: EntityManager, events: readonly PreparedEvent[]): Promise<void> {
    return this.log.appendWithin(manager, events);
  }

  private groupCommit(): GroupCommit<Publication, boolean> {
    return new GroupCommit({
      write: (publications) => this.turn.take(() => this.commit(publications)),
      maxInFlight: 1,
      rows: ({ events }) => events.length,
      isItemsFault,
      now: () => performance.now(),
    });
  }

  /**
   * Matches, commits, hands over and broadcasts; again if the webhooks have changed meanwhile.
   * @returns per publication whether it was written
   */
  private async commit(publications: readonly Publication[]): Promise<boolean[]> {
    const keys = publications.flatMap(keyOf);
    for (let tries = 1; ; tries++) {
      const { version } = this.webhooks;
      const matched = publications.flatMap((publication) => this.match(publication));
      const handover = this.dispatcher.handover(matched.map(({ webhooks }) => webhooks));
      const request = {
        rows: matched,
        exclusive: matched.flatMap(({ exclusive }) => exclusive),
        webhooksVersion: version,
        lease: handover,
        publishedBy: this.nodeNumber,
      };
      const result = await this.append(request, keys);
      if (result.version === version) {
        const written = matched.filter(({ firstId }) => result.firstIds?.has(firstId) ?? true);
        this.realtime.publish(byId(written));
        this.dispatcher.dispatch(committed(written, this.clock.nowMs()), handover);
        this.deferred.announce(request.exclusive.map(({ webhookId }) => webhookId));
        return publications.map(({ events }) => result.firstIds?.has(events[0]!.id) ?? true);
      }
      if (tries === MAX_TRIES) throw new UnavailableError('The webhooks are changing too fast.');
      await this.webhooks.refresh();
    }
  }

  private match({ events }: Publication): MatchedEvent[] {
    const firstId = events[0]!.id;
    return events.map((event) => {
      const all = this.webhooks.match(event.ownerId, event.type);
      const exclusive = all.filter(({ needsExclusiveLease }) => needsExclusiveLease);
      const webhooks =
        exclusive.length === 0
          ? all
          : all.filter(({ needsExclusiveLease }) => !needsExclusiveLease);
      return {
        event,
        firstId,
        webhooks,
        webhookIds: webhooks.map(({ id }) => id),
        exclusive: exclusive.map(({ id }) => ({
          deliveryId: deliveryId(event.id, id),
          eventId: event.id,
          webhookId: id,
        })),
      };
    });
  }

  /** @returns `firstIds` of the publications that were written; absent: all were */
  private async append(
    request: AppendRequest,
    keys: readonly KeyRow[],
  ): Promise<{ version: number; firstIds?: ReadonlySet<string> }> {
    for (let tries = 1; ; tries++) {
      try {
        return keys.length > 0
          ? await this.log.appendKeyed(request, keys)
          : { version: await this.log.append(request) };
      } catch (error) {
        if (!isContention(error) || tries === MAX_TRIES) throw error;
      }
    }
  }
}

const keyOf = ({ events, idempotency }: Publication): KeyRow[] =>
  idempotency ? [{ ...idempotency, eventIds: events.map(({ id }) => id) }] : [];

/** Clients that resume take this to be the order within a statement. */
const byId = (written: readonly MatchedEvent[]): PreparedEvent[] =>
  written.map(({ event }) => event).sort((one, other) => (one.id < other.id ? -1 : 1));

/** Only events that match a webhook; the bytes of each are made once for all of its webhooks. */
function committed(written: readonly MatchedEvent[], nowMs: number): CommittedEvent[] {
  return written
    .filter(({ webhookIds }) => webhookIds.length > 0)
    .map(({ event: { id, type, body, priority, ttlMs }, webhookIds }) => ({
      event: {
        id,
        type,
        body: Buffer.from(body),
        priority,
        expiresAtMs: ttlMs === null ? undefined : nowMs + ttlMs,
      },
      webhookIds,
    }));
}
