import { describe, expect, it } from 'vitest';
import type { Encoding, Frame } from '../fanout/frame.js';
import { Connection } from '../connections/realtime.connection.js';
import { Subscriptions } from './subscriptions.service.js';
import { TokenBucket } from '../connections/token-bucket.js';

const FRAME: Frame = { text: '', bytes: Buffer.alloc(0) };

/** A client that goes nowhere, and counts who wants to know of its end. */
class QuietConnection extends Connection {
  override readonly transport = 'websocket';
  override readonly heartbeatMs = 0;
  override readonly backlogBytes = 0;
  override readonly encoding: Encoding = {
    separator: '',
    event: () => FRAME,
    notice: () => FRAME,
  };
  listeners = 0;

  constructor() {
    super({
      connectionId: 'con_1',
      principal: { ownerId: 'acme', roles: new Set(['subscriber']) },
      budget: new TokenBucket(1, 1, 0),
      leave: () => undefined,
    });
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
  it('keeps nothing of those who come to a topic and leave it again and again', () => {
    const subscriptions = new Subscriptions();
    const connection = new QuietConnection();
    for (let times = 0; times < 100; times++) {
      subscriptions.add(connection, [{ type: 'trade.*' }]);
      subscriptions.remove(connection, [{ type: 'trade.*' }]);
    }
    expect(connection.listeners).toBe(1);
    expect(subscriptions.isEmpty).toBe(true);
  });

  it('takes out of every room who ends, also after a time without any', () => {
    const subscriptions = new Subscriptions();
    const connection = new QuietConnection();
    subscriptions.add(connection, [{ type: 'trade.*' }]);
    subscriptions.remove(connection, [{ type: 'trade.*' }]);
    subscriptions.add(connection, [{ type: 'price.*', subject: 'AAPL' }]);
    connection.close('no_answer');
    expect(subscriptions.isEmpty).toBe(true);
  });
});
