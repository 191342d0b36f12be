import { Injectable } from '@nestjs/common';
import { ConnectionEvents } from '../connections/connection-events.js';
import { Connections } from '../connections/connections.service.js';
import type { Connection } from '../connections/realtime.connection.js';

/** Of this node, since its start; `connections` and `subscriptions`: at the moment. */
export interface RealtimeCounts {
  connections: number;
  subscriptions: number;
  /** Requests and texts of clients. */
  messagesIn: number;
  /** Events, notices and responses to clients; the acknowledgements of Socket.IO are not counted. */
  messagesOut: number;
  slowConsumersEvicted: number;
  /** Resumed clients that were sent what they missed, and those that have a gap. */
  recovered: number;
  notRecovered: number;
}

/** Counters of the live connections of this node. */
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

  /** Counts a resume. */
  recovery(recovered: boolean): void {
    if (recovered) this.recovered++;
    else this.notRecovered++;
  }

  /** Adds up what each connection has counted itself: the path of an event updates no shared counter. */
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
