import { Injectable } from '@nestjs/common';
import { ConnectionEvents } from '../connections/connection-events.js';
import { Connections } from '../connections/connections.service.js';
import type { Connection } from '../connections/realtime.connection.js';

/** Of this process, since its start; `connections` and `subscriptions`: at the moment. */
export interface RealtimeCounts {
  connections: number;
  subscriptions: number;
  /** Requests and texts of clients. */
  messagesIn: number;
  /** Events, notices and answers to clients; the answers of Socket.IO are not counted. */
  messagesOut: number;
  slowConsumersEvicted: number;
  /** Clients that came back and were sent what they missed, and those that have a gap. */
  recovered: number;
  notRecovered: number;
}

/** Figures of the live connections of this process, for whoever shows them. */
@Injectable()
export class RealtimeCounters {
  private readonly ended = { messagesIn: 0, messagesOut: 0, slowConsumersEvicted: 0 };
  private recovered = 0;
  private notRecovered = 0;

  constructor(
    private readonly connections: Connections,
    events: ConnectionEvents,
  ) {
    events.on('opened', (connection) => {
      connection.whenEnded(() => this.endOf(connection));
    });
  }

  /** Somebody has asked for what it missed. */
  recovery(recovered: boolean): void {
    if (recovered) this.recovered++;
    else this.notRecovered++;
  }

  /** Adds up what each connection has counted itself, so that nothing is shared on the way of an event. */
  read(): RealtimeCounts {
    const { recovered, notRecovered } = this;
    const counts = { connections: 0, subscriptions: 0, ...this.ended, recovered, notRecovered };
    for (const { topics, receivedMessages, sentMessages } of this.connections.all()) {
      counts.connections++;
      counts.subscriptions += topics.size;
      counts.messagesIn += receivedMessages;
      counts.messagesOut += sentMessages;
    }
    return counts;
  }

  private endOf({ receivedMessages, sentMessages, closeReason }: Connection): void {
    this.ended.messagesIn += receivedMessages;
    this.ended.messagesOut += sentMessages;
    if (closeReason === 'slow_consumer') this.ended.slowConsumersEvicted++;
  }
}
