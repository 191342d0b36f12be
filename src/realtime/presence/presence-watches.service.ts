import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { canSubscribe, ownerScope } from '../../auth/principal.js';
import { AppError } from '../../shared/app-error.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { MAX_TOPICS } from '../limits.js';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Member, RealtimeErrorCode } from '../protocol.js';
import { written } from '../topic.js';
import type { Changes } from './member-changes.js';
import { DELTA, PresenceInterests, WATCH } from './presence-interests.service.js';
import { type PresenceKey, keyText } from './presence-key.js';
import { PresenceMirror } from './presence-mirror.js';
import { PresenceDelta, WatchAnswer, type WatchQuestion } from './presence-notes.js';

/** Other processes forget after some missed renewals; what they could not tell is made up for here. */
const RENEW_MS = 5_000;
/** Topics that are watched in one process, by whomever. */
const MAX_WATCHED = 1_000;
/** In one notice; who watches a larger crowd asks again. */
const MAX_NAMED_AT_ONCE = 1_000;

interface Watch {
  key: PresenceKey;
  watchers: Set<Connection>;
  /** Those that wait for the answer with which they begin. */
  starting: number;
  mirror: PresenceMirror;
}

/** Tells clients who comes to a topic and who leaves it, in whichever process. */
@Injectable()
export class PresenceWatches implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly watches = new Map<string, Watch>();
  /** What each connection watches. */
  private readonly watched = new WeakMap<Connection, Set<string>>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    interests: PresenceInterests,
    private readonly bus: RealtimeBus,
    private readonly peers: ClusterRpc,
  ) {
    peers.hear(DELTA, (payload, node) => this.take(PresenceDelta.parse(payload), node));
    interests.whenChangedHere((delta) => this.take(delta, bus.node));
    peers.whenGone((node) => this.drop(node));
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.renew([...this.watches.values()]), RENEW_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /**
   * From now on the connection is told.
   *
   * @returns who is there, as far as everybody has said
   * @throws AppError `too_many_topics`
   */
  async start(
    connection: Connection,
    key: PresenceKey,
  ): Promise<{ members: Member[]; isComplete: boolean }> {
    const text = keyText(key);
    const mine = this.watchedBy(connection);
    if (!mine.has(text) && (mine.size >= MAX_TOPICS || this.isFull(text))) throw tooMany();
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
    // It hears of changes from here on: what came until now is in the answer.
    if (connection.isOpen) {
      mine.add(text);
      watch.watchers.add(connection);
    } else this.tidy(text, watch);
    return { members: watch.mirror.all(), isComplete };
  }

  stop(connection: Connection, key: PresenceKey): void {
    this.leave(connection, keyText(key));
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
    this.watched.get(connection)?.delete(text);
    const watch = this.watches.get(text);
    if (!watch) return;
    watch.watchers.delete(connection);
    this.tidy(text, watch);
  }

  private tidy(text: string, { watchers, starting }: Watch): void {
    if (watchers.size === 0 && starting === 0) this.watches.delete(text);
  }

  private isFull(text: string): boolean {
    return !this.watches.has(text) && this.watches.size >= MAX_WATCHED;
  }

  /** @returns whether everybody has answered */
  private async renew(watches: readonly Watch[]): Promise<boolean> {
    if (watches.length === 0) return true;
    const question: WatchQuestion = {
      node: this.bus.node,
      keys: watches.map(({ key, mirror }) => ({ key, versions: mirror.versions() })),
    };
    const { answers, isComplete } = await this.peers.ask(WATCH, question, WatchAnswer);
    for (const answer of answers) this.compare(answer);
    return isComplete;
  }

  private compare({ node, snapshots }: WatchAnswer): void {
    for (const { key, version, members } of snapshots) {
      const watch = this.watches.get(keyText(key));
      if (watch) this.tell(watch, watch.mirror.snapshot(node, version, members));
    }
  }

  private take(delta: PresenceDelta, node: string): void {
    const watch = this.watches.get(keyText(delta.key));
    if (!watch) return;
    const changes = watch.mirror.delta(node, delta);
    if (changes) this.tell(watch, changes);
    else void this.renew([watch]);
  }

  private drop(node: string): void {
    for (const watch of this.watches.values()) this.tell(watch, watch.mirror.drop(node));
  }

  private tell(watch: Watch, { joined, left }: Changes): void {
    if (joined.length === 0 && left.length === 0) return;
    const { key, watchers } = watch;
    const notice = {
      topic: written(key.topic),
      joined: joined.slice(0, MAX_NAMED_AT_ONCE),
      left: left.slice(0, MAX_NAMED_AT_ONCE),
      truncated: Math.max(joined.length, left.length) > MAX_NAMED_AT_ONCE,
    };
    for (const connection of watchers) {
      if (mayStillWatch(connection, key)) connection.notify('presence', notice);
      else this.leave(connection, keyText(key));
    }
  }
}

/** Its token may be another one since. */
const mayStillWatch = ({ principal }: Connection, { ownerId, topic }: PresenceKey): boolean =>
  (ownerScope(principal) ?? null) === ownerId && canSubscribe(principal, topic.type);

const tooMany = (): AppError =>
  new AppError(
    'invalid',
    'too_many_topics' satisfies RealtimeErrorCode,
    `A connection watches at most ${MAX_TOPICS} topics, and a process ${MAX_WATCHED}.`,
  );
