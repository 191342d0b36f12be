import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type pg from 'pg';
import { logFailure } from '../shared/log-failure.js';
import { PostgresClient } from './postgres.client.js';

/**
 * Channels of NOTIFY. A notification is a hint that saves somebody a wait, never the only way to
 * learn of something: one that is lost costs latency.
 */
export const CHANNELS = {
  /** A webhook changed (sent by a trigger). */
  webhooks: 'tidings_webhooks',
  /** The catalogue of event types changed (sent by a trigger). */
  eventTypes: 'tidings_event_types',
  /** A circuit opened, closed or is being probed, or its first failure came. */
  circuits: 'tidings_circuits',
  /** Something fell due out of turn: an event committed in a caller's transaction, a redrive. */
  due: 'tidings_due',
  /** Deliveries were held for these webhooks (ids, separated by spaces). */
  held: 'tidings_held',
  /** The lane of this webhook was given back. */
  lanes: 'tidings_lanes',
  /** A bulk operation was asked for. */
  operations: 'tidings_operations',
} as const;
export type Channel = keyof typeof CHANNELS;

/** @param payload empty: anything may have happened, e.g. after a reconnection */
export type NotificationHandler = (payload: string) => void;

const RECONNECT_MS = 1_000;

/** One connection that listens for all of this process, and comes back whenever it is lost. */
@Injectable()
export class NotificationListener implements OnApplicationShutdown {
  private readonly logger = new Logger(NotificationListener.name);
  private readonly handlers = new Map<string, NotificationHandler[]>();
  private client: pg.Client | undefined;
  private retry: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(private readonly postgres: PostgresClient) {}

  /** Calls the handler for each notification, and after each reconnection, when some were missed. */
  on(channel: Channel, handler: NotificationHandler): void {
    const name = CHANNELS[channel];
    this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
  }

  /** Starts to listen; settles when the first connection stands or has failed. */
  async start(): Promise<void> {
    const client = this.postgres.createClient();
    let lost = false;
    const onLost = () => {
      if (lost) return;
      lost = true;
      this.client = undefined;
      void client.end().catch(() => undefined);
      if (!this.stopped) this.retry = setTimeout(() => void this.start(), RECONNECT_MS);
    };
    client.on('error', onLost);
    client.on('end', onLost);
    client.on('notification', ({ channel, payload }) => this.call(channel, payload));
    try {
      await client.connect();
      for (const name of this.handlers.keys()) await client.query(`LISTEN ${name}`);
      this.client = client;
      for (const name of this.handlers.keys()) this.call(name);
    } catch (error) {
      logFailure(this.logger, 'warn', 'cannot listen for notifications, trying again', error);
      onLost();
    }
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.retry);
    await this.client?.end().catch(() => undefined);
  }

  private call(name: string, payload = ''): void {
    for (const handler of this.handlers.get(name) ?? []) handler(payload);
  }
}
