import { describe, expect, it } from 'vitest';
import { encodings, type Frame } from '../fanout/frame.js';
import { RoomIndex } from '../fanout/room-index.js';
import { ConnectionEvents } from '../connections/connection-events.js';
import { MessageBudget } from '../connections/rate-limit.js';
import { type Admission, Connection } from '../connections/realtime.connection.js';
import { Subscriptions } from './subscriptions.service.js';

const FRAME: Frame = { text: '', bytes: Buffer.alloc(0) };
const NO_CHANNELS = { typesIn: () => [] };
const ENCODINGS = encodings({ separator: '', event: () => FRAME, notice: () => FRAME });

/** Writes nothing, and counts the listeners for its end. */
class QuietConnection extends Connection {
  override readonly transport = 'websocket';
  override readonly heartbeatMs = 0;
  override readonly backlogBytes = 0;
  listeners = 0;

  constructor() {
    const admission: Admission = {
      connectionId: 'con_1',
      address: '127.0.0.1',
      principal: { ownerId: 'acme', userId: 'acme', roles: new Set(['subscriber']) },
      limits: {} as Admission['limits'],
      budget: new MessageBudget(1, 1, 0),
      release: () => undefined,
      closeGraceMs: 0,
      liveEvents: { catchUp: () => undefined },
    };
    super(admission, ENCODINGS);
    this.listeners = 0;
  }

  override whenEnded(listener: () => void): void {
    this.listeners++;
    super.whenEnded(listener);
  }

  protected override write(): void {}
  protected override end(): void {
    this.ended();
  }
  protected override destroy(): void {}
}

describe(Subscriptions.name, () => {
  it('keeps nothing of a connection that joins a topic and leaves it again and again', () => {
    const subscriptions = new Subscriptions(new RoomIndex(), new ConnectionEvents(), NO_CHANNELS);
    const connection = new QuietConnection();
    for (let times = 0; times < 100; times++) {
      subscriptions.add(connection, [{ type: 'trade.*' }]);
      subscriptions.remove(connection, [{ type: 'trade.*' }]);
    }
    expect(connection.listeners).toBe(1);
    expect(subscriptions.isEmpty).toBe(true);
  });

  it('takes an ended connection out of every room, also after a time without topics', () => {
    const subscriptions = new Subscriptions(new RoomIndex(), new ConnectionEvents(), NO_CHANNELS);
    const connection = new QuietConnection();
    subscriptions.add(connection, [{ type: 'trade.*' }]);
    subscriptions.remove(connection, [{ type: 'trade.*' }]);
    subscriptions.add(connection, [{ type: 'price.*', subject: 'AAPL' }]);
    connection.close('no_answer');
    expect(subscriptions.isEmpty).toBe(true);
  });
});
