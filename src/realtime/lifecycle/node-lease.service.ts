import { randomUUID } from 'node:crypto';
import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { ConnectionRegisterStore } from './connection-register.store.js';

/** Who has not renewed for so long is dead; the shortest that a database may be away unnoticed. */
export const LEASE_MS = 10_000;
const RENEW_MS = 2_500;

/**
 * That this process lives, in the database. One that was stopped for longer than its lease, or cut
 * off, was taken for dead by others; it goes on under a new name, with whatever it still has.
 */
@Injectable()
export class NodeLease implements OnApplicationBootstrap {
  /** Renewals in a row that have succeeded. */
  renewals = 0;
  private readonly logger = new Logger(NodeLease.name);
  private id: string;
  private timer: NodeJS.Timeout | undefined;
  private renewing: Promise<void> | undefined;
  private isEntered = false;
  private readonly renewListeners: (() => void)[] = [];
  private readonly lossListeners: (() => void)[] = [];

  constructor(
    private readonly store: ConnectionRegisterStore,
    bus: RealtimeBus,
  ) {
    this.id = bus.node;
  }

  /** The name of this process in the register; may change. */
  get nodeId(): string {
    return this.id;
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.renew();
    this.timer = setInterval(() => {
      this.renewing ??= this.renew().finally(() => (this.renewing = undefined));
    }, RENEW_MS).unref();
  }

  /** Calls back after every renewal. */
  whenRenewed(listener: () => void): void {
    this.renewListeners.push(listener);
  }

  /** Calls back when others have taken this process for dead, and its connections for ended. */
  whenLost(listener: () => void): void {
    this.lossListeners.push(listener);
  }

  /** For an orderly end. */
  async leave(): Promise<void> {
    clearInterval(this.timer);
    await this.renewing;
    await this.store.leave(this.id);
  }

  private async renew(): Promise<void> {
    try {
      if (!this.isEntered) await this.enter();
      else if (!(await this.store.renew(this.id, LEASE_MS))) return await this.startAgain();
      this.renewals++;
      for (const listener of this.renewListeners) listener();
    } catch (error) {
      if (this.renewals > 0) this.logger.warn(`cannot renew the lease: ${String(error)}`);
      this.renewals = 0;
    }
  }

  private async enter(): Promise<void> {
    await this.store.enter(this.id, LEASE_MS);
    this.isEntered = true;
  }

  private async startAgain(): Promise<void> {
    this.logger.warn('this process was taken for dead, and registers its connections again');
    this.id = randomUUID();
    this.isEntered = false;
    this.renewals = 0;
    await this.enter();
    for (const listener of this.lossListeners) listener();
  }
}
