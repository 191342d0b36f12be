import { Injectable, Logger } from '@nestjs/common';
import type { Envelope } from '../common/event-envelope.js';
import type { RealtimeServer } from './realtime-socket.js';
import type { RealtimeEvent } from './realtime-event.js';
import { roomsOfEvent } from './rooms.js';

/** From an event to the sockets of this process, if it has any. */
@Injectable()
export class EventFanout {
  private readonly logger = new Logger(EventFanout.name);
  private server: RealtimeServer | undefined;

  /** Called by the gateway of a process that takes connections. */
  attach(server: RealtimeServer): void {
    this.server = server;
  }

  /** Emits each event once to every socket in one of its rooms. Never throws. */
  deliver(events: readonly RealtimeEvent[]): void {
    const server = this.server;
    if (!server || server.sockets.sockets.size === 0) return;
    for (const event of events) {
      try {
        this.emit(server, event);
      } catch (error) {
        // Data that is nested too deeply to encode; it must not take the others with it.
        this.logger.error(`event ${event.id} cannot be sent to sockets: ${String(error)}`);
      }
    }
  }

  private emit(server: RealtimeServer, event: RealtimeEvent): void {
    const { rooms } = server.sockets.adapter;
    const joined = roomsOfEvent(event).filter((room) => rooms.has(room));
    if (joined.length === 0) return;
    server.to(joined).emit('event', JSON.parse(event.body) as Envelope);
  }
}
