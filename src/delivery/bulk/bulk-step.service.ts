import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { deliveryId } from '../delivery-id.js';
import { BulkStepStore, type Slice, SLICES_PER_STEP, type Target } from './bulk-step.store.js';
import { nextWaitMs, slicesThatFit } from './throttle.js';

/**
 * One step of a bulk operation: one webhook, one transaction, under the lock of its target. A crash
 * rolls the step back, and other nodes meanwhile take other targets. So each delivery is requeued
 * once, and the operation continues from the last commit.
 */
@Injectable()
export class BulkStep {
  private readonly maxOpen: number;

  constructor(
    private readonly store: BulkStepStore,
    @Inject(CONFIG) config: Config,
  ) {
    this.maxOpen = config.delivery.redriveMaxOpen;
  }

  /** @returns whether there was a target that no other node works on */
  step(): Promise<boolean> {
    return this.store.withNextTarget((tx, target) => this.advance(tx, target));
  }

  private async advance(tx: EntityManager, target: Target): Promise<void> {
    const open = await this.store.stillOpen(tx, target.openIds);
    const slices = await this.store.nextSlices(tx, target);
    const sizes = slices.map(({ eventIds }) => eventIds.length);
    const count = slicesThatFit(sizes, open.length, this.maxOpen);
    const requeued = await this.requeue(tx, target, slices.slice(0, count));
    const isLast = count === slices.length && count < SLICES_PER_STEP;
    // What is still open now needs no bulk operation any more.
    if (isLast) return this.store.finish(tx, target);
    const hasProgress = requeued.length > 0 || open.length < target.openIds.length;
    const waitMs = nextWaitMs(target.waitMs, hasProgress);
    await this.store.postpone(tx, target, [...open, ...requeued], waitMs);
  }

  /** @returns ids of the deliveries that are pending again */
  private async requeue(
    tx: EntityManager,
    target: Target,
    slices: readonly Slice[],
  ): Promise<string[]> {
    const items = slices.flatMap(({ eventIds }) =>
      eventIds.map((eventId) => ({ eventId, id: deliveryId(eventId, target.webhookId) })),
    );
    if (items.length === 0) return [];
    const requeued = await this.store.requeue(tx, target, items);
    await this.store.deleteSlices(tx, target, slices);
    await this.store.count(tx, target, requeued.length, items.length - requeued.length);
    return requeued;
  }
}
