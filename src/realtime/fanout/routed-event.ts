import { EncodedEvent } from './encoded-event.js';
import type { RealtimeEvent } from '../../shared/realtime-event.js';
import { roomsOfEvent } from './rooms.js';

/** An event on its way to whoever hears it. */
export class RoutedEvent extends EncodedEvent {
  readonly rooms: readonly string[];

  /** @param sequence its place among all events of this process */
  constructor(
    event: RealtimeEvent,
    readonly sequence: number,
  ) {
    super(event);
    this.rooms = roomsOfEvent(event);
  }
}
