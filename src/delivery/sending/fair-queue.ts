import { RingQueue } from '../../shared/ring-queue.js';

export interface FairQueueItem {
  webhookId: string;
  /** 0 high, 1 normal, 2 low. */
  priority: number;
}

/** How many items may be in flight at once. */
export interface FairQueueLimits {
  /** Of a webhook; at least 1. Asked whenever its queue changes, so it has to be cheap. */
  limitOf: (webhookId: string) => number;
  /** Of all webhooks of one owner together. */
  maxPerOwner: number;
}

/** Of twelve turns of a webhook, high comes first in eight, normal in three, low in one. */
const TURNS = [0, 0, 1, 0, 0, 0, 1, 0, 0, 2, 0, 1] as const;

type Priority = 0 | 1 | 2;

interface WebhookQueue<Item extends object> {
  readonly webhookId: string;
  readonly owner: Owner<Item>;
  /** By priority; made when first needed, since most webhooks use one priority only. */
  readonly waiting: [
    RingQueue<Item> | undefined,
    RingQueue<Item> | undefined,
    RingQueue<Item> | undefined,
  ];
  size: number;
  inFlight: number;
  turn: number;
  isReady: boolean;
}

interface Owner<Item extends object> {
  readonly key: string;
  /** Its webhooks that have an item and a free slot, in the order of their turns. */
  ready: RingQueue<WebhookQueue<Item>>;
  webhooks: number;
  inFlight: number;
  isReady: boolean;
}

/**
 * Work for many webhooks of many owners, taken in turns on two levels: owners take turns, and so do
 * the webhooks of an owner. Neither a flooded webhook nor an owner with a thousand webhooks delays
 * another owner by more than a turn.
 *
 * A webhook has at most `limitOf(webhookId)` items in flight, an owner at most `maxPerOwner`, so that
 * its slow receivers cannot use all slots. Within a webhook three priorities share by weight, so that
 * the lowest is sent too; items of one webhook and priority are taken in their order.
 */
export class FairQueue<Item extends FairQueueItem> {
  private readonly webhooks = new Map<string, WebhookQueue<Item>>();
  private readonly owners = new Map<string, Owner<Item>>();
  /** Owners with a ready webhook and a free slot, in the order of their turns. */
  private ready = new RingQueue<Owner<Item>>();

  constructor(private readonly limits: FairQueueLimits) {}

  /** Items of a webhook that wait or are in flight. */
  lengthOf(webhookId: string): number {
    const webhook = this.webhooks.get(webhookId);
    return webhook ? webhook.size + webhook.inFlight : 0;
  }

  /** Of these, those in flight and those of this priority or a higher one. */
  lengthAhead(webhookId: string, priority: number): number {
    const webhook = this.webhooks.get(webhookId);
    if (!webhook) return 0;
    let length = webhook.inFlight;
    for (let p = 0; p <= priorityOf({ priority }); p++) length += webhook.waiting[p]?.size ?? 0;
    return length;
  }

  /** @param ownerKey the same for a webhook as long as it has items */
  push(item: Item, ownerKey: string): void {
    const webhook = this.webhooks.get(item.webhookId) ?? this.open(item.webhookId, ownerKey);
    (webhook.waiting[priorityOf(item)] ??= new RingQueue()).push(item);
    webhook.size++;
    this.offer(webhook);
  }

  /** The next item whose webhook and owner have a free slot; undefined: there is none at present. */
  take(): Item | undefined {
    for (let owner = this.ready.shift(); owner; owner = this.ready.shift()) {
      owner.isReady = false;
      const webhook = this.nextWebhook(owner);
      if (webhook) return this.takeFrom(webhook);
    }
    return undefined;
  }

  /**
   * Frees the slot of an item that was taken.
   * @param isUsed false: it was not sent, so the next item of its priority gets its turn
   */
  done(webhookId: string, isUsed = true): void {
    const webhook = this.webhooks.get(webhookId);
    if (!webhook) return;
    if (!isUsed) webhook.turn = (webhook.turn + TURNS.length - 1) % TURNS.length;
    webhook.inFlight--;
    webhook.owner.inFlight--;
    this.offer(webhook);
    this.offerOwner(webhook.owner);
    this.closeIfEmpty(webhook);
  }

  /**
   * Removes the last item of the lowest priority that waits for a webhook.
   * @param above only one of a lower priority than this
   * @returns undefined: there is none
   */
  evict(webhookId: string, above: number): Item | undefined {
    const webhook = this.webhooks.get(webhookId);
    if (!webhook) return undefined;
    for (let p = webhook.waiting.length - 1; p > priorityOf({ priority: above }); p--) {
      const item = webhook.waiting[p]?.pop();
      if (item === undefined) continue;
      webhook.size--;
      this.closeIfEmpty(webhook);
      return item;
    }
    return undefined;
  }

  /** Removes and returns all items that wait. */
  drain(): Item[] {
    const items: Item[] = [];
    this.ready = new RingQueue();
    for (const owner of this.owners.values()) {
      owner.ready = new RingQueue();
      owner.isReady = false;
    }
    for (const webhook of this.webhooks.values()) {
      webhook.isReady = false;
      while (webhook.size > 0) items.push(shiftByTurn(webhook));
      this.closeIfEmpty(webhook);
    }
    return items;
  }

  private open(webhookId: string, ownerKey: string): WebhookQueue<Item> {
    let owner = this.owners.get(ownerKey);
    if (!owner) {
      owner = { key: ownerKey, ready: new RingQueue(), webhooks: 0, inFlight: 0, isReady: false };
      this.owners.set(ownerKey, owner);
    }
    owner.webhooks++;
    const waiting: WebhookQueue<Item>['waiting'] = [undefined, undefined, undefined];
    const webhook = { webhookId, owner, waiting, size: 0, inFlight: 0, turn: 0, isReady: false };
    this.webhooks.set(webhookId, webhook);
    return webhook;
  }

  private closeIfEmpty(webhook: WebhookQueue<Item>): void {
    if (webhook.size > 0 || webhook.inFlight > 0) return;
    this.webhooks.delete(webhook.webhookId);
    if (--webhook.owner.webhooks === 0) this.owners.delete(webhook.owner.key);
  }

  private offer(webhook: WebhookQueue<Item>): void {
    if (webhook.isReady || webhook.size === 0 || !this.hasFreeSlot(webhook)) return;
    webhook.isReady = true;
    webhook.owner.ready.push(webhook);
    this.offerOwner(webhook.owner);
  }

  private offerOwner(owner: Owner<Item>): void {
    if (owner.isReady || owner.ready.size === 0) return;
    if (owner.inFlight >= this.limits.maxPerOwner) return;
    owner.isReady = true;
    this.ready.push(owner);
  }

  /** Skips webhooks whose limit fell, or whose items were evicted, while they waited for their turn. */
  private nextWebhook(owner: Owner<Item>): WebhookQueue<Item> | undefined {
    for (let webhook = owner.ready.shift(); webhook; webhook = owner.ready.shift()) {
      webhook.isReady = false;
      if (webhook.size > 0 && this.hasFreeSlot(webhook)) return webhook;
    }
    return undefined;
  }

  private hasFreeSlot({ webhookId, inFlight }: WebhookQueue<Item>): boolean {
    return inFlight < this.limits.limitOf(webhookId);
  }

  private takeFrom(webhook: WebhookQueue<Item>): Item {
    const item = shiftByTurn(webhook);
    webhook.inFlight++;
    webhook.owner.inFlight++;
    this.offer(webhook);
    this.offerOwner(webhook.owner);
    return item;
  }
}

const priorityOf = ({ priority }: Pick<FairQueueItem, 'priority'>): Priority =>
  priority <= 0 ? 0 : priority >= 2 ? 2 : 1;

function shiftByTurn<Item extends object>(webhook: WebhookQueue<Item>): Item {
  const { waiting } = webhook;
  const preferred = TURNS[webhook.turn]!;
  webhook.turn = (webhook.turn + 1) % TURNS.length;
  webhook.size--;
  const item =
    waiting[preferred]?.shift() ??
    waiting[0]?.shift() ??
    waiting[1]?.shift() ??
    waiting[2]?.shift();
  if (item === undefined) throw new Error('the size of a queue differs from its items');
  return item;
}
