import { performance } from 'node:perf_hooks';
import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Connections } from './connections.service.js';
import { STUCK_MS } from '../limits.js';
import type { Connection } from './realtime.connection.js';

const TICK_MS = 500;

/** How far a connection had read when it last made progress. */
interface Progress {
  readBytes: number;
  atMs: number;
}

/**
 * Cuts clients that have stopped reading: those that take nothing of what waits for them. One that
 * is merely slow may go on, as long as its backlog is bounded.
 */
@Injectable()
export class SlowConsumerWatch implements OnApplicationBootstrap, OnModuleDestroy {
  /** Of the connections that are behind. */
  private readonly behind = new WeakMap<Connection, Progress>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly connections: Connections) {}

  onApplicationBootstrap(): void {
    // As immediates, after sockets were written to: a process that was held up has not seen them read.
    this.timer = setInterval(() => setImmediate(() => this.tick()), TICK_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private tick(): void {
    const now = performance.now();
    for (const connection of this.connections.all()) {
      if (this.isStuck(connection, now)) connection.close('slow_consumer');
    }
  }

  private isStuck(connection: Connection, now: number): boolean {
    const { backlogBytes, sentBytes } = connection;
    if (backlogBytes === 0) {
      this.behind.delete(connection);
      return false;
    }
    const readBytes = sentBytes - backlogBytes;
    const last = this.behind.get(connection);
    if (last && readBytes <= last.readBytes) return now - last.atMs >= STUCK_MS;
    this.behind.set(connection, { readBytes, atMs: now });
    return false;
  }
}
