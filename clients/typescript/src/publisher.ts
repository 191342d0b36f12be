import type { TidingsEvent } from './events.js';
import type { HttpClient } from './http-client.js';

/** An event to publish. */
export interface NewEvent<Type extends string = string, Data = unknown> {
  type: Type;
  data: Data;
  /** What it is about, e.g. `snft:123`. */
  subject?: string;
  /** Where it comes from. */
  source?: string;
  /** When it happened, RFC 3339; absent: now. */
  timestamp?: string;
  /** Whose event it is, for admins and producers; absent: that of the credential. */
  ownerId?: string;
  priority?: 'high' | 'normal' | 'low';
  /** Milliseconds after which it is not delivered any more. */
  ttlMs?: number;
}

/** One of the events of a map, as a union. */
export type EventToPublish<Events> = {
  [Type in keyof Events & string]: NewEvent<Type, Events[Type]>;
}[keyof Events & string];

export interface PublishOptions {
  /**
   * The same key and content publish once, however often they are sent, for 24 hours at least. Default:
   * a new one for each call. Give your own, e.g. the id of a row, to publish once over restarts too.
   */
  idempotencyKey?: string;
}

/** The answer to `publish`. */
export interface Published {
  id: string;
  type: string;
  timestamp: string;
  /** Accepted earlier under the same key; nothing was published now. */
  duplicate: boolean;
  /** False: a transient type, which is not in the log. */
  durable?: false;
}

/** The answer to `publishBatch`. */
export interface PublishedBatch {
  /** In the order of the events. */
  ids: string[];
  accepted: number;
}

/** Which events of the log. */
export interface HistoryQuery {
  /** A type, or a pattern. */
  type?: string;
  subject?: string;
  /** From this time on, RFC 3339. */
  since?: string;
  /** Before this time, RFC 3339. */
  until?: string;
  /** Events of one request, 1 to 200; more are requested as they are read. Default 50. */
  limit?: number;
}

/** An event of the log. */
export interface LoggedEvent extends Omit<TidingsEvent, 'ownerId' | 'transient'> {
  ownerId: string | null;
  priority: string;
  /** Not delivered any more from then on; null: always. */
  expiresAt: string | null;
  createdAt: string;
}

const EVENTS = '/api/v1/events';

/** Publishes events and reads the log, over REST. */
export class Publisher {
  constructor(
    private readonly http: HttpClient,
    private readonly signal: AbortSignal,
  ) {}

  publish(event: NewEvent, options: PublishOptions): Promise<Published> {
    return this.post(EVENTS, event, options) as Promise<Published>;
  }

  publishBatch(events: readonly NewEvent[], options: PublishOptions): Promise<PublishedBatch> {
    return this.post(`${EVENTS}/batch`, { events }, options) as Promise<PublishedBatch>;
  }

  async *history(query: HistoryQuery): AsyncGenerator<LoggedEvent, void, undefined> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) parameters.set(name, String(value));
    }
    for (let cursor: string | null | undefined; cursor !== null;) {
      if (cursor !== undefined) parameters.set('cursor', cursor);
      const route = `${EVENTS}?${parameters.toString()}`;
      const page = (await this.http.request({ method: 'GET', route }, this.signal)) as {
        data: LoggedEvent[];
        nextCursor?: string | null;
      };
      yield* page.data;
      cursor = page.nextCursor ?? null;
    }
  }

  /** The key makes it safe to send the same text again when an answer was lost. */
  private post(
    route: string,
    content: object,
    { idempotencyKey = crypto.randomUUID() }: PublishOptions,
  ): Promise<unknown> {
    const headers = { 'idempotency-key': idempotencyKey };
    const body = JSON.stringify(content);
    return this.http.request({ method: 'POST', route, headers, body }, this.signal);
  }
}
