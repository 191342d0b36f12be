import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { ownerScope } from '../../auth/principal.js';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import { NodeEvents } from '../../cluster/node-events.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { AppError } from '../../shared/app-error.js';
import type { Connection } from '../connections/realtime.connection.js';
import { MAX_TOPICS } from '../limits.js';
import type { Member, RealtimeErrorCode } from '../protocol.js';
import { allows, type Channels } from '../subscriptions/topic-rights.js';
import { written } from '../topic.js';
import {
  keyText,
  PRESENCE_DELTA,
  PresenceDelta,
  type PresenceKey,
  WATCH_MEMBERS,
  type WatchRequest,
  WatchResponse,
} from './presence-messages.js';
import { type Changes, PresenceMirror } from './presence-mirror.js';

/** Topics that are watched on one node, by all its connections; and by those of one owner. */
const MAX_WATCHED = 5_000;
const MAX_WATCHED_BY_OWNER = 250;
/** Members in one notice; a client that watches a larger crowd asks again. */
const MAX_NAMED_AT_ONCE = 1_000;

interface Watch {
  key: PresenceKey;
  watchers: Set<Connection>;
  /** Connections that wait for the response with which they begin. */
  starting: number;
  mirror: PresenceMirror;
}

/** Notifies clients of the connections that join and leave a topic, on whichever node. */
@Injectable()
export class PresenceWatches implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly watches = new Map<string, Watch>();
  /** What each connection watches. */
  private readonly watched = new WeakMap<Connection, Set<string>>();
  /** What the connections of each owner watch: how many of them watch a topic. */
  private readonly ofOwners = new Map<string, Map<string, number>>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly bus: RealtimeBus,
    private readonly rpc: ClusterRpc,
    events: NodeEvents,
    @Inject(TIMINGS) private readonly timings: Timings,
    @Inject(EventTypeCache) private readonly channels: Channels,
  ) {
    bus.on(PRESENCE_DELTA, (payload, node) => this.apply(PresenceDelta.parse(payload), node));
    events.on('unreachable', (node) => this.drop(node));
  }

  /** Renewals also repair the copies after lost messages. */
  onApplicationBootstrap(): void {
    this.timer = setInterval(
      () => void this.renew([...this.watches.values()]),
      this.timings.presenceRenewMs,
    ).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /**
   * From now on the connection is notified.
   *
   * @returns the members on the nodes that have responded
   * @throws AppError `too_many_topics`
   */
  async start(
    connection: Connection,
    key: PresenceKey,
  ): Promise<{ members: Member[]; isComplete: boolean }> {
    const text = keyText(key);
    this.take(connection, text);
    const watch = this.watches.get(text) ?? {
      key,
      watchers: new Set<Connection>(),
      starting: 0,
      mirror: new PresenceMirror(),
    };
    this.watches.set(text, watch);
    watch.starting++;
    const isComplete = await this.renew([watch]);
    watch.starting--;
    // Notified from here on: changes until now are in the response. It may have stopped or ended.
    if (this.watchedBy(connection).has(text)) watch.watchers.add(connection);
    else this.removeUnused(text, watch);
    return { members: watch.mirror.all(), isComplete };
  }

  stop(connection: Connection, key: PresenceKey): void {
    this.leave(connection, keyText(key));
  }

  /** Counts the topic among those of the connection. @throws AppError `too_many_topics` */
  private take(connection: Connection, text: string): void {
    const mine = this.watchedBy(connection);
    if (mine.has(text) || !connection.isOpen) return;
    const { ownerId } = connection.principal;
    const owned = this.ofOwners.get(ownerId) ?? new Map<string, number>();
    const isNew = !owned.has(text);
    if (mine.size >= MAX_TOPICS || (isNew && owned.size >= MAX_WATCHED_BY_OWNER)) throw tooMany();
    if (!this.watches.has(text) && this.watches.size >= MAX_WATCHED) throw tooMany();
    mine.add(text);
    owned.set(text, (owned.get(text) ?? 0) + 1);
    this.ofOwners.set(ownerId, owned);
  }

  private watchedBy(connection: Connection): Set<string> {
    const known = this.watched.get(connection);
    if (known) return known;
    const mine = new Set<string>();
    this.watched.set(connection, mine);
    connection.whenEnded(() => {
      for (const text of mine) this.leave(connection, text);
    });
    return mine;
  }

  private leave(connection: Connection, text: string): void {
    if (this.watched.get(connection)?.delete(text)) this.release(connection, text);
    const watch = this.watches.get(text);
    if (!watch) return;
    watch.watchers.delete(connection);
    this.removeUnused(text, watch);
  }

  private release({ principal: { ownerId } }: Connection, text: string): void {
    const owned = this.ofOwners.get(ownerId);
    const left = (owned?.get(text) ?? 1) - 1;
    if (left > 0) owned?.set(text, left);
    else owned?.delete(text);
    if (owned?.size === 0) this.ofOwners.delete(ownerId);
  }

  private removeUnused(text: string, { watchers, starting }: Watch): void {
    if (watchers.size === 0 && starting === 0) this.watches.delete(text);
  }

  /** @returns whether all nodes have responded */
  private async renew(watches: readonly Watch[]): Promise<boolean> {
    if (watches.length === 0) return true;
    const request: WatchRequest = {
      node: this.bus.node,
      keys: watches.map(({ key, mirror }) => ({ key, versions: mirror.versions() })),
    };
    const { results, isComplete } = await this.rpc.request(WATCH_MEMBERS, request, WatchResponse);
    for (const response of results) this.compare(response);
    return isComplete;
  }

  private compare({ node, snapshots }: WatchResponse): void {
    for (const { key, version, members } of snapshots) {
      const watch = this.watches.get(keyText(key));
      if (watch) this.notify(watch, watch.mirror.snapshot(node, version, members));
    }
  }

  private apply(delta: PresenceDelta, node: string): void {
    const watch = this.watches.get(keyText(delta.key));
    if (!watch) return;
    const changes = watch.mirror.delta(node, delta);
    if (changes) this.notify(watch, changes);
    else void this.renew([watch]);
  }

  private drop(node: string): void {
    for (const watch of this.watches.values()) this.notify(watch, watch.mirror.drop(node));
  }

  private notify(watch: Watch, { joined, left }: Changes): void {
    if (joined.length === 0 && left.length === 0) return;
    const { key, watchers } = watch;
    const notice = {
      topic: written(key.topic),
      joined: joined.slice(0, MAX_NAMED_AT_ONCE),
      left: left.slice(0, MAX_NAMED_AT_ONCE),
      truncated: Math.max(joined.length, left.length) > MAX_NAMED_AT_ONCE,
    };
    for (const connection of watchers) {
      if (this.mayStillWatch(connection, key)) connection.notify('presence', notice);
      else this.leave(connection, keyText(key));
    }
  }

  /** The connection may have another token by now. */
  private mayStillWatch({ principal }: Connection, { ownerId, topic }: PresenceKey): boolean {
    return (
      (ownerScope(principal, 'events:receive') ?? null) === ownerId &&
      allows(principal, topic, this.channels)
    );
  }
}

const tooMany = (): AppError =>
  new AppError(
    'invalid',
    'too_many_topics' satisfies RealtimeErrorCode,
    `A connection watches at most ${MAX_TOPICS} topics, its owner ${MAX_WATCHED_BY_OWNER}, and all ` +
      `connections of a process ${MAX_WATCHED}.`,
  );
