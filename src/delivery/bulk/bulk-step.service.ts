import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { CHANNELS } from '../../database/notification.listener.js';
import { deliveryId } from '../delivery-id.js';
import { BulkStepStore, type Slice, type Target } from './bulk-step.store.js';
import { nextWaitMs, slicesThatFit } from './throttle.js';

/**
 * One step of a bulk operation: one webhook, one transaction, under the lock of its target. A crash
 * undoes the step; another process meanwhile takes another target. So every delivery is owed again
 * once, and the operation goes on where the last commit left it.
 */
@Injectable()
export class BulkStep {
  private readonly maxOpen: number;

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly store: BulkStepStore,
    @Inject(CONFIG) config: Config,
  ) {
    this.maxOpen = config.delivery.redriveMaxOpen;
  }

  /** @returns whether there was a target to look at */
  step(): Promise<boolean> {
    return this.dataSource.transaction(async (tx) => {
      const target = await this.store.take(tx);
      if (!target) return false;
      await this.advance(tx, target);
      return true;
    });
  }

  private async advance(tx: EntityManager, target: Target): Promise<void> {
    const open = await this.store.stillOpen(tx, target.openIds);
    const { slices, isLast } = await this.nextSlices(tx, target, open.length);
    const released = await this.release(tx, target, slices);
    if (isLast) {
      // What is still open now is the engine's, like any other delivery.
      await this.store.finish(tx, target);
      return;
    }
    const hasMoved = released.length > 0 || open.length < target.openIds.length;
    const waitMs = nextWaitMs(target.waitMs, hasMoved);
    await this.store.postpone(tx, target, [...open, ...released], waitMs);
  }

  private async nextSlices(
    tx: EntityManager,
    target: Target,
    open: number,
  ): Promise<{ slices: Slice[]; isLast: boolean }> {
    const slices = await this.store.nextSlices(tx, target);
    const sizes = slices.map(({ eventIds }) => eventIds.length);
    const count = slicesThatFit(sizes, open, this.maxOpen);
    const isLast = count === slices.length && !(await this.store.hasMore(tx, target, slices));
    return { slices: slices.slice(0, count), isLast };
  }

  /** @returns the deliveries that are owed again */
  private async release(
    tx: EntityManager,
    target: Target,
    slices: readonly Slice[],
  ): Promise<string[]> {
    const items = slices.flatMap(({ eventIds }) =>
      eventIds.map((eventId) => ({ eventId, id: deliveryId(eventId, target.webhookId) })),
    );
    if (items.length === 0) return [];
    const released = await this.store.requeue(tx, target, items);
    await this.store.drop(tx, target, slices);
    await this.store.count(tx, target, released.length, items.length - released.length);
    if (released.length > 0) await tx.query(`SELECT pg_notify('${CHANNELS.due}', '')`);
    return released;
  }
}
