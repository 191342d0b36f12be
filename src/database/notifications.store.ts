import { Injectable } from '@nestjs/common';
import { CHANNELS, type Channel } from './notification.listener.js';
import { PostgresClient } from './postgres.client.js';

const NOTIFY = { name: 'notify', text: 'SELECT pg_notify($1, $2)' };

/** Sends notifications to the {@link NotificationListener} of every process, this one included. */
@Injectable()
export class NotificationsStore {
  constructor(private readonly postgres: PostgresClient) {}

  async notify(channel: Channel, payload = ''): Promise<void> {
    await this.postgres.run(NOTIFY, [CHANNELS[channel], payload]);
  }
}
