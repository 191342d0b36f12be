import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { TIMINGS, type Timings } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import { PostgresClient } from './postgres.client.js';
import type { Client } from './postgres.driver.js';

/**
 * Channels of NOTIFY. A notification only saves a node the wait for its next poll: a lost one costs
 * latency.
 */
export const CHANNELS = {
  /** A webhook changed (sent by a trigger). */
  webhooks: 'tidings_webhooks',
  /** The catalogue of event types changed (sent by a trigger). */
  eventTypes: 'tidings_event_types',
  /** A circuit changed its state, or counted its first failure. */
  circuits: 'tidings_circuits',
  /** Work became due at once: an event of a caller's transaction, a redrive. */
  due: 'tidings_due',
  /** Deliveries were deferred. */
  deferred: 'tidings_deferred',
  /** The lease of this webhook (its id) was released. */
  webhookLeases: 'tidings_webhook_leases',
  /** A bulk operation was requested. */
  operations: 'tidings_operations',
} as const;
export type Channel = keyof typeof CHANNELS;

/** @param payload empty after a (re)connection: any number of notifications may have been missed */
export type NotificationHandler = (payload: string) => void;

/** The one connection of this process that listens for notifications; it reconnects when it is lost. */
@Injectable()
export class NotificationListener implements OnApplicationShutdown {
  private readonly logger = new Logger(NotificationListener.name);
  private readonly handlers = new Map<string, NotificationHandler[]>();
  private client: Client | undefined;
  private retry: NodeJS.Timeout | undefined;
  private stopped = false;

  constructor(
    private readonly postgres: PostgresClient,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  /** Calls the handler for each notification and after each (re)connection. Call it before {@link start}. */
  on(channel: Channel, handler: NotificationHandler): void {
    const name = CHANNELS[channel];
    this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
  }

  /** Connects; settles when the first attempt has succeeded or failed. */
  async start(): Promise<void> {
    const client = this.postgres.createClient();
    let lost = false;
    const onLost = () => {
      if (lost) return;
      lost = true;
      if (this.client === client) this.client = undefined;
      void client.end().catch(() => undefined);
      if (!this.stopped)
        this.retry = setTimeout(() => void this.start(), this.timings.notificationsReconnectMs);
    };
    client.on('error', onLost);
    client.on('end', onLost);
    client.on('notification', ({ channel, payload }) => this.call(channel, payload));
    try {
      await client.connect();
      for (const name of this.handlers.keys()) await client.query(`LISTEN ${name}`);
      this.client = client;
      // Nothing else is sent on it: without an answer it is found to be silent, and lost.
      const check = setInterval(() => {
        if (!client.isWaiting) client.query('SELECT 1').catch(() => undefined);
      }, this.timings.notificationsCheckMs).unref();
      client.once('end', () => clearInterval(check));
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
