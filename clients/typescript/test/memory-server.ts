import type { TidingsEvent } from '../src/events.js';
import type { Runtime } from '../src/runtime.js';
import type { Answer, Link, LinkEnd, OpenRequest, Transport } from '../src/transport.js';

/** Frames that wait to be received; the test decides in which order the two lists are mixed. */
interface PendingFrames {
  /** Missed events, and then the answer to `subscribe`. */
  replay: (() => void)[];
  live: (() => void)[];
}

interface Client extends OpenRequest, PendingFrames {
  isSubscribed: boolean;
  requests: { name: string; payload: unknown }[];
}

/** An answer instead of the usual one; undefined: the usual one. */
export type Respond = (name: string, payload: Record<string, unknown>) => Answer | undefined;

/**
 * A server behind a transport without a network. It has a log, replays it and sends new events, each
 * step only when the test calls for it. Every client gets all events.
 */
export class MemoryServer implements Transport {
  readonly log: TidingsEvent[] = [];
  /** Ids in the order in which clients received them, with repetitions. */
  readonly sent: string[] = [];
  readonly opened: Client[] = [];
  respond: Respond = () => undefined;
  /** How many of the replayed events are also sent as live events. */
  overlap = 0;
  /** Whether live events wait until the replay is over, as they do over every real transport. */
  isOrderly = true;

  get client(): Client | undefined {
    return this.current;
  }

  private current: Client | undefined;

  open(request: OpenRequest): Link {
    const client = { ...request, isSubscribed: false, replay: [], live: [], requests: [] };
    this.opened.push(client);
    this.current = client;
    return {
      request: (name, payload) => this.answer(client, name, payload as Record<string, unknown>),
      close: () => {
        if (this.current === client) this.current = undefined;
      },
    };
  }

  welcome(): void {
    this.current?.onFrame('connected', { connectionId: 'con_1' });
  }

  publish(type = 'trade.submitted', more: Partial<TidingsEvent> = {}): string {
    const id = `evt_${this.log.length + 1}`;
    const event = { id, type, timestamp: '', data: {}, ...more };
    this.log.push(event);
    if (this.current?.isSubscribed) this.current.live.push(this.frame(this.current, event));
    return id;
  }

  /** Delivers one waiting frame. @returns whether there was one */
  deliver(list: keyof PendingFrames): boolean {
    const { current } = this;
    if (!current) return false;
    const isWaiting = this.isOrderly && list === 'live' && current.replay.length > 0;
    const frame = isWaiting ? undefined : current[list].shift();
    frame?.();
    return frame !== undefined;
  }

  /** Moves the next live event to the end. */
  delay(): void {
    const [next, ...others] = this.current?.live ?? [];
    if (next) this.current!.live = [...others, next];
  }

  /** Ends the connection; waiting frames are lost. */
  cut(end: LinkEnd = { reason: 'cut' }): void {
    const { current } = this;
    this.current = undefined;
    current?.onClose(end);
  }

  private answer(client: Client, name: string, payload: Record<string, unknown>): Promise<Answer> {
    client.requests.push({ name, payload });
    const own = this.respond(name, payload);
    if (own) return Promise.resolve(own);
    if (name !== 'subscribe') return Promise.resolve({ ok: true });
    const { after } = payload as { after?: string };
    if (after !== undefined) this.replay(client, Number(after.slice('evt_'.length)));
    client.isSubscribed = true;
    return new Promise((resolve) => {
      client.replay.push(() => resolve({ ok: true, recovered: true }));
    });
  }

  private replay(client: Client, from: number): void {
    const missed = this.log.slice(from).map((event) => this.frame(client, event));
    client.replay.push(...missed);
    client.live.push(...missed.slice(missed.length - Math.min(this.overlap, missed.length)));
  }

  private frame(client: Client, event: TidingsEvent): () => void {
    return () => {
      this.sent.push(event.id);
      client.onFrame('event', event);
    };
  }
}

/** A clock on which waits end at once, except timeouts of 10 s and more, which never end. */
export const AT_ONCE: Runtime & { waits: number[] } = {
  waits: [],
  now: () => 0,
  date: () => 0,
  random: () => 0.5,
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted || ms < 10_000) return resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    }),
};

/** Waits until all promises that can settle have settled. */
export const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
