import type { RealtimeEvent } from '../../shared/realtime-event.js';
import { EncodedEvent } from './frame.js';
import { roomsOfEvent } from './rooms.js';

/** An event with the rooms whose members receive it. */
export class RoutedEvent extends EncodedEvent {
  readonly rooms: readonly string[];

  /** @param sequence its number among all events of this node */
  constructor(
    event: RealtimeEvent,
    readonly sequence: number,
  ) {
    super(event);
    this.rooms = roomsOfEvent(event);
  }
}
