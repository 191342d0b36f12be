/** Who is subscribed to a topic, over all nodes of the server. */
import { guarded } from './callback.js';
import { type Topic, topicKey } from './events.js';
import { isTransient, asTidingsError, TidingsError } from './tidings-error.js';
import type { Answer } from './transport.js';

/** A connection that is subscribed to the topic. */
export interface Member {
  connectionId: string;
  /** The owner of its credential. */
  userId: string;
  /** The name that the client gave itself. */
  clientId?: string;
  /** When it subscribed, RFC 3339. */
  since: string;
}

export interface Present {
  topic: Topic;
  /** The oldest first. */
  members: Member[];
  /** How many there are. */
  count: number;
  /** There are more than are listed. */
  truncated: boolean;
  /** False: a node of the server did not answer in time. */
  complete: boolean;
}

/** What has changed, and all members after it. */
export interface PresenceChange {
  members: Member[];
  joined: Member[];
  left: Member[];
  /** There are more than are listed. */
  truncated: boolean;
}

export interface PresenceWatch {
  /** Fulfilled with the first list; rejected if the server refuses the topic. */
  readonly ready: Promise<void>;
  /** As far as is known: while there is no connection, those before it was lost. */
  readonly members: readonly Member[];
  readonly stop: () => void;
}

type Request = (name: string, payload: object) => Promise<Answer>;
type Listen = (change: PresenceChange) => void;

/** What is known of one watched topic; several watches share it. */
class WatchedTopic {
  readonly listeners = new Set<Listen>();
  readonly ready: Promise<void>;
  members = new Map<string, Member>();
  private isListed = false;
  private settle: { resolve(): void; reject(error: TidingsError): void } | undefined;

  constructor(readonly topic: Topic) {
    this.ready = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    // A refusal is also reported through `onError`, so it must not be an unhandled rejection.
    this.ready.catch(() => undefined);
  }

  /** The whole list, after a connection began to watch. */
  list({ members, truncated }: Present): void {
    const before = this.members;
    this.members = byId(members);
    const joined = members.filter(({ connectionId }) => !before.has(connectionId));
    const left = [...before.values()].filter(({ connectionId }) => !this.members.has(connectionId));
    const isFirst = !this.isListed;
    this.isListed = true;
    if (isFirst || joined.length > 0 || left.length > 0) this.notify({ joined, left, truncated });
    this.settle?.resolve();
  }

  change({ joined, left, truncated }: Omit<PresenceChange, 'members'>): void {
    for (const { connectionId } of left) this.members.delete(connectionId);
    for (const member of joined) this.members.set(member.connectionId, member);
    this.notify({ joined, left, truncated });
  }

  refused(error: TidingsError): void {
    this.settle?.reject(error);
  }

  private notify(change: Omit<PresenceChange, 'members'>): void {
    const members = [...this.members.values()];
    for (const listener of this.listeners) listener({ ...change, members });
  }
}

const byId = (members: readonly Member[]): Map<string, Member> =>
  new Map(members.map((member) => [member.connectionId, member]));

/** Before a request that failed for now is sent again, in milliseconds. */
const PAUSE_MS = 1_000;

export interface PresenceOptions {
  request: Request;
  pause: (ms: number) => Promise<unknown>;
  onError: (error: TidingsError) => void;
}

/** Watches continue over reconnections: then the list is requested again and compared. */
export class Presence {
  private readonly watched = new Map<string, WatchedTopic>();
  /** One request at a time: the last word on a topic must be the last that is sent. */
  private requests: Promise<unknown> = Promise.resolve();
  private isClosed = false;

  /** @internal */
  constructor(private readonly options: PresenceOptions) {}

  /** Who is there now. @throws TidingsError `not_connected`, or the server's refusal */
  async of(topic: Topic): Promise<Present> {
    return (await this.options.request('presence', { topic })) as unknown as Present;
  }

  /** Calls the listener with the list, and with every change of it. Watching is not subscribing. */
  watch(topic: Topic, listener: Listen): PresenceWatch {
    const key = topicKey(topic);
    const known = this.watched.get(key);
    const watched = known ?? new WatchedTopic(topic);
    const guardedListener = guarded(listener);
    watched.listeners.add(guardedListener);
    if (this.isClosed) watched.refused(new TidingsError('closed', 'This client has been closed.'));
    else if (!known) {
      this.watched.set(key, watched);
      this.enqueue(() => this.begin(watched));
    } else if (known.members.size > 0) {
      const members = [...known.members.values()];
      guardedListener({ members, joined: members, left: [], truncated: false });
    }
    return {
      ready: watched.ready,
      get members() {
        return [...watched.members.values()];
      },
      stop: () => this.stop(watched, guardedListener),
    };
  }

  /** There is a new connection, which watches nothing. @internal */
  connected(): void {
    for (const watched of this.watched.values()) this.enqueue(() => this.begin(watched));
  }

  /** @internal */
  receive(payload: PresenceChange & { topic: Topic }): void {
    this.watched.get(topicKey(payload.topic))?.change(payload);
  }

  /** @internal */
  close(error: TidingsError): void {
    this.isClosed = true;
    for (const watched of this.watched.values()) watched.refused(error);
    this.watched.clear();
  }

  private stop(watched: WatchedTopic, listener: Listen): void {
    watched.listeners.delete(listener);
    const key = topicKey(watched.topic);
    if (watched.listeners.size > 0 || this.watched.get(key) !== watched) return;
    this.watched.delete(key);
    this.enqueue(async () => {
      if (this.watched.has(key)) return;
      await this.options.request('presence', { topic: watched.topic, watch: false });
    });
  }

  private enqueue(step: () => Promise<unknown>): void {
    // Without a connection there is nothing to say: the next one begins with all of them.
    this.requests = this.requests.then(step).catch(() => undefined);
  }

  private async begin(watched: WatchedTopic): Promise<void> {
    const key = topicKey(watched.topic);
    while (this.watched.get(key) === watched) {
      try {
        const payload = { topic: watched.topic, watch: true };
        watched.list((await this.options.request('presence', payload)) as unknown as Present);
        return;
      } catch (cause) {
        const error = asTidingsError('connection_lost', cause);
        if (error.code === 'connection_lost' || error.code === 'not_connected') return;
        if (!isTransient(error)) {
          this.watched.delete(key);
          watched.refused(error);
          this.options.onError(error);
          return;
        }
        await this.options.pause(PAUSE_MS);
      }
    }
  }
}
