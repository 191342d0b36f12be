import { Injectable, Logger } from '@nestjs/common';
import { CHANNELS } from '../../database/notification.listener.js';
import { PostgresClient } from '../../database/postgres.client.js';

/** Other processes are told at most this often: they look for everything that is held then. */
const MIN_GAP_MS = 20;

const NOTIFY = { name: 'notify-held', text: `SELECT pg_notify('${CHANNELS.deferred}', '')` };

/**
 * Tells whoever pulls held deliveries that there are new ones: this process at once and by name, the
 * others by a notification. Only a hint; what is lost is found by the next poll.
 */
@Injectable()
export class DeferredSignal {
  private readonly logger = new Logger(DeferredSignal.name);
  private handler: (webhookIds: readonly string[]) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly postgres: PostgresClient) {}

  /** Called once, by the worker of this process. */
  onDeferred(handler: (webhookIds: readonly string[]) => void): void {
    this.handler = handler;
  }

  /** After the commit. Never waits and never fails. */
  announce(webhookIds: readonly string[]): void {
    if (webhookIds.length === 0) return;
    this.handler(webhookIds);
    this.timer ??= setTimeout(() => void this.notify(), MIN_GAP_MS).unref();
  }

  private async notify(): Promise<void> {
    this.timer = undefined;
    await this.postgres.run(NOTIFY, []).catch((error: unknown) => {
      this.logger.debug(`the others are not told of held deliveries: ${String(error)}`);
    });
  }
}
