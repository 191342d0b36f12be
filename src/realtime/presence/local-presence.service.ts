import { performance } from 'node:perf_hooks';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Member } from '../protocol.js';
import { ConnectionEvents, type SubscriptionChange } from '../connections/connection-events.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { type Subscription, type Topic, topicKey } from '../topic.js';
import {
  keysSeeing,
  keyText,
  MembersRequest,
  type MembersResponse,
  PRESENCE_DELTA,
  type PresenceDelta,
  type PresenceKey,
  WatchRequest,
  type WatchResponse,
} from './presence-messages.js';
import { MemberChanges } from './presence-mirror.js';

/** Joins and leaves within this time are sent together. */
const COLLECT_MS = 100;
/** More members of one topic on one node are counted, but not named to those who watch. */
const MAX_NAMED = 5_000;

/** A topic whose changes are sent to the nodes that watch it. */
interface WatchedTopic {
  key: PresenceKey;
  /** The nodes that watch, and until when. */
  nodes: Map<string, number>;
  version: number;
  changes: MemberChanges;
}

/** The members of topics on this node: responds with them, and sends changes to nodes that watch. */
@Injectable()
export class LocalPresence implements OnModuleDestroy {
  private readonly watched = new Map<string, WatchedTopic>();
  /** Shared by all topics, so that no version occurs twice in the life of a process. */
  private version = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly subscriptions: Subscriptions,
    private readonly bus: RealtimeBus,
    @Inject(TIMINGS) private readonly timings: Timings,
    events: ConnectionEvents,
  ) {
    events.on('subscriptionChanged', (change) => this.onSubscriptionChange(change));
  }

  onModuleDestroy(): void {
    clearTimeout(this.timer);
  }

  /** Responds to `get-members`. */
  members(request: unknown): MembersResponse {
    const { key, limit } = MembersRequest.parse(request);
    return this.membersOf(key, limit);
  }

  /** Responds to `watch-members`. */
  watch(request: unknown): WatchResponse {
    const { node, keys } = WatchRequest.parse(request);
    this.removeUnwatched();
    const snapshots = keys.flatMap(({ key, versions }) => {
      const { version, nodes } = this.watchedTopic(key);
      nodes.set(node, performance.now() + this.timings.presenceInterestMs);
      if (versions[this.bus.node] === version) return [];
      return [{ key, version, members: this.membersOf(key, MAX_NAMED).members }];
    });
    return { node: this.bus.node, snapshots };
  }

  private watchedTopic(key: PresenceKey): WatchedTopic {
    const text = keyText(key);
    const known = this.watched.get(text);
    if (known) {
      // The snapshot is as of now and includes the changes that wait.
      this.flush(known);
      return known;
    }
    const topic = {
      key,
      nodes: new Map<string, number>(),
      version: ++this.version,
      changes: new MemberChanges(),
    };
    this.watched.set(text, topic);
    return topic;
  }

  private membersOf(
    { ownerId, topic }: PresenceKey,
    limit: number,
  ): { count: number; members: Member[] } {
    const key = topicKey(topic);
    const found = this.subscriptions
      .membersOn(topic, ownerId ?? undefined)
      .flatMap((connection) => {
        const subscription = connection.topics.get(key);
        return subscription ? [{ connection, subscription }] : [];
      });
    const oldest = found
      .toSorted((a, b) => a.subscription.sinceMs - b.subscription.sinceMs)
      .slice(0, limit);
    return {
      count: found.length,
      members: oldest.map(({ connection, subscription }) => memberOf(connection, subscription)),
    };
  }

  private onSubscriptionChange({ connection, subscription, isJoin }: SubscriptionChange): void {
    if (this.watched.size === 0) return;
    for (const text of keysSeeing(connection.principal.ownerId, topicOf(subscription))) {
      const topic = this.watched.get(text);
      if (!topic) continue;
      topic.changes.add(memberOf(connection, subscription), isJoin);
      this.timer ??= setTimeout(() => this.flushAll(), COLLECT_MS).unref();
    }
  }

  private flushAll(): void {
    this.timer = undefined;
    this.removeUnwatched();
    for (const topic of this.watched.values()) this.flush(topic);
  }

  private removeUnwatched(): void {
    const nowMs = performance.now();
    for (const [text, { nodes }] of this.watched) {
      for (const [node, untilMs] of nodes) if (untilMs <= nowMs) nodes.delete(node);
      if (nodes.size === 0) this.watched.delete(text);
    }
  }

  private flush(topic: WatchedTopic): void {
    const { key, nodes, changes } = topic;
    if (changes.isEmpty) return;
    const from = topic.version;
    const to = (topic.version = ++this.version);
    const delta: PresenceDelta = { key, from, to, ...changes.take() };
    for (const node of nodes.keys()) {
      this.bus.send({ kind: PRESENCE_DELTA, payload: delta, to: node });
    }
  }
}

function topicOf(subscription: Subscription): Topic {
  const { sinceMs: _sinceMs, ...topic } = subscription;
  return topic;
}

const memberOf = ({ id, principal, clientId }: Connection, { sinceMs }: Subscription): Member => ({
  connectionId: id,
  userId: principal.userId,
  ...(clientId !== undefined && { clientId }),
  since: new Date(sinceMs).toISOString(),
});
