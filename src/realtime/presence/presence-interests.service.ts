import { performance } from 'node:perf_hooks';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Member } from '../protocol.js';
import { ConnectionEvents, type SubscriptionChange } from '../connections/connection-events.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { type Subscription, type Topic, topicKey } from '../topic.js';
import { MemberChanges } from './member-changes.js';
import { type PresenceKey, keysSeeing, keyText } from './presence-key.js';
import {
  type PresenceDelta,
  PresentQuestion,
  type PresentAnswer,
  type WatchAnswer,
  WatchQuestion,
} from './presence-notes.js';

/** Joins and leaves within this time are told together. */
const COLLECT_MS = 100;
/** Some renewals may get lost. */
const INTEREST_MS = 15_000;
/** More members of one topic in one process are counted, and not named to those who watch. */
const MAX_NAMED = 5_000;

export const PRESENT = 'present';
export const WATCH = 'watch-presence';
export const DELTA = 'presence-delta';

/** A topic of which somebody somewhere wants to know who comes and goes. */
interface Interest {
  key: PresenceKey;
  /** The processes that want to know, and until when. */
  nodes: Map<string, number>;
  version: number;
  changes: MemberChanges;
}

/** Says who is on a topic in this process, and tells changes to the processes that want to know. */
@Injectable()
export class PresenceInterests implements OnModuleDestroy {
  private readonly interests = new Map<string, Interest>();
  private readonly listeners: ((delta: PresenceDelta) => void)[] = [];
  /** Of all topics: never the same twice in the life of a process. */
  private version = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly subscriptions: Subscriptions,
    private readonly bus: RealtimeBus,
    private readonly peers: ClusterRpc,
    events: ConnectionEvents,
  ) {
    events.on('subscriptionChanged', (change) => this.note(change));
    peers.answer(PRESENT, (question) => this.present(PresentQuestion.parse(question)));
    peers.answer(WATCH, (question) => this.interest(WatchQuestion.parse(question)));
    peers.whenGone((node) => this.forget(node));
  }

  onModuleDestroy(): void {
    clearTimeout(this.timer);
  }

  /** Calls back with the changes here that this process itself wants to know. */
  whenChangedHere(listener: (delta: PresenceDelta) => void): void {
    this.listeners.push(listener);
  }

  private present({ key, limit }: PresentQuestion): PresentAnswer {
    const { count, members } = this.membersOf(key, limit);
    return { count, members };
  }

  private interest({ node, keys }: WatchQuestion): WatchAnswer {
    this.forgetUnwanted();
    const snapshots = keys.flatMap(({ key, versions }) => {
      const { version, nodes } = this.interestIn(key);
      nodes.set(node, performance.now() + INTEREST_MS);
      if (versions[this.bus.node] === version) return [];
      return [{ key, version, members: this.membersOf(key, MAX_NAMED).members }];
    });
    return { node: this.bus.node, snapshots };
  }

  private interestIn(key: PresenceKey): Interest {
    const text = keyText(key);
    const known = this.interests.get(text);
    // What is known is as of now: changes that wait are part of the snapshot.
    if (known) this.flush(known);
    if (known) return known;
    const interest = {
      key,
      nodes: new Map<string, number>(),
      version: ++this.version,
      changes: new MemberChanges(),
    };
    this.interests.set(text, interest);
    return interest;
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

  private note({ connection, subscription, isJoin }: SubscriptionChange): void {
    if (this.interests.size === 0) return;
    for (const text of keysSeeing(connection.principal.ownerId, topicOf(subscription))) {
      const interest = this.interests.get(text);
      if (!interest) continue;
      interest.changes.add(memberOf(connection, subscription), isJoin);
      this.timer ??= setTimeout(() => this.flushAll(), COLLECT_MS).unref();
    }
  }

  private flushAll(): void {
    this.timer = undefined;
    this.forgetUnwanted();
    for (const interest of this.interests.values()) this.flush(interest);
  }

  private forgetUnwanted(): void {
    const nowMs = performance.now();
    for (const [text, { nodes }] of this.interests) {
      for (const [node, untilMs] of nodes) if (untilMs <= nowMs) nodes.delete(node);
      if (nodes.size === 0) this.interests.delete(text);
    }
  }

  private flush(interest: Interest): void {
    const { key, nodes, changes } = interest;
    if (changes.isEmpty) return;
    const from = interest.version;
    const to = (interest.version = ++this.version);
    const delta: PresenceDelta = { key, from, to, ...changes.take() };
    for (const node of nodes.keys()) {
      if (node === this.bus.node) for (const listener of this.listeners) listener(delta);
      else this.peers.tell(DELTA, delta, node);
    }
  }

  private forget(node: string): void {
    for (const { nodes } of this.interests.values()) nodes.delete(node);
  }
}

const topicOf = ({ type, subject }: Subscription): Topic => ({
  type,
  ...(subject !== undefined && { subject }),
});

const memberOf = ({ id, principal }: Connection, { sinceMs }: Subscription): Member => ({
  connectionId: id,
  userId: principal.ownerId,
  since: new Date(sinceMs).toISOString(),
});
