import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { FanoutService } from '../fanout/fanout.service.js';
import { AdmissionService } from './admission.service.js';
import type { Connection } from './realtime.connection.js';
import type { Connected } from '../realtime-events.js';
import { RoomIndex } from '../subscriptions/room-index.js';

/** Clients of a server that stops come back over this time, not all at once. */
const RECONNECT_WINDOW_MS = 5_000;
/** For the last frames to be written. */
const FLUSH_MS = 500;

/** The connections of this process, over all transports, from the welcome to the end. */
@Injectable()
export class Connections implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly connections = new Map<string, Connection>();
  /** By owner, which stays the same for the life of a connection. */
  private readonly owners = new RoomIndex<Connection>();
  private readonly openListeners: ((connection: Connection) => void)[] = [];
  private isDraining = false;

  constructor(
    private readonly handshakes: AdmissionService,
    private readonly bus: RealtimeBus,
    private readonly fanout: FanoutService,
  ) {}

  /** From now on there can be connections, which hear what other processes publish. */
  async onApplicationBootstrap(): Promise<void> {
    await this.bus.receiveEvents((events) => this.fanout.deliver(events));
  }

  /** All of them, also while some of them end. */
  all(): IterableIterator<Connection> {
    return this.connections.values();
  }

  get(id: string): Connection | undefined {
    return this.connections.get(id);
  }

  /** Those of an owner. Not to be kept. */
  ofOwner(ownerId: string): ReadonlySet<Connection> {
    return this.owners.membersOf([ownerId]);
  }

  /** Calls back with every connection from now on, right after its welcome. */
  whenOpened(listener: (connection: Connection) => void): void {
    this.openListeners.push(listener);
  }

  /**
   * Takes up a connection, which is open, and welcomes it.
   *
   * @param extra what the transport adds to the welcome
   */
  open(connection: Connection, extra?: object): void {
    this.connections.set(connection.id, connection);
    connection.follow(this.fanout);
    const { ownerId } = connection.principal;
    this.owners.join(ownerId, connection);
    connection.whenEnded(() => {
      this.connections.delete(connection.id);
      this.owners.leave(ownerId, connection);
    });
    const welcome: Connected = {
      connectionId: connection.id,
      userId: ownerId,
      serverTime: new Date().toISOString(),
      heartbeatMs: connection.heartbeatMs,
      limits: this.handshakes.limits,
      ...extra,
    };
    connection.say('connected', welcome);
    for (const listener of this.openListeners) listener(connection);
    if (this.isDraining) sendAway(connection);
  }

  /** Before the HTTP server closes: tells the clients when to come back, and lets them go. */
  async onModuleDestroy(): Promise<void> {
    this.isDraining = true;
    this.handshakes.close();
    const gone = [...this.all()].map(
      (connection) =>
        new Promise<void>((resolve) => {
          connection.whenEnded(resolve);
          sendAway(connection);
        }),
    );
    await Promise.race([Promise.all(gone), delay(FLUSH_MS, undefined, { ref: false })]);
    for (const connection of this.all()) connection.cut();
  }
}

function sendAway(connection: Connection): void {
  connection.close('draining', Math.floor(Math.random() * RECONNECT_WINDOW_MS));
}
