import { patternsOf } from '../shared/event-pattern.js';

/**
 * Which webhooks an event goes to: the rules of event-pattern.ts and visibility.ts as an index. It
 * has the webhooks that `WebhookCache` adds, which are the active ones.
 *
 * Patterns are keys of a map per owner, and an event looks up the few patterns that select its type,
 * so the cost does not depend on the number of webhooks.
 */
export interface Subscriber {
  id: string;
  ownerId: string | null;
  /** Patterns that it is subscribed to. */
  events: readonly string[];
}

type PatternMap<W> = Map<string, Set<W>>;

/** Most results that are kept; they are cleared when a webhook changes. */
const MAX_RESULTS = 10_000;

export class SubscriptionIndex<W extends Subscriber> {
  private readonly webhooks = new Map<string, W>();
  private readonly byOwner = new Map<string | null, PatternMap<W>>();
  private readonly ofAllOwners: PatternMap<W> = new Map();
  private readonly results = new Map<string, readonly W[]>();

  /** Adds a webhook, or replaces the one with the same id. */
  set(webhook: W): void {
    this.delete(webhook.id);
    this.webhooks.set(webhook.id, webhook);
    const own = this.byOwner.get(webhook.ownerId) ?? new Map<string, Set<W>>();
    this.byOwner.set(webhook.ownerId, own);
    for (const pattern of webhook.events) {
      addTo(own, pattern, webhook);
      addTo(this.ofAllOwners, pattern, webhook);
    }
  }

  delete(id: string): void {
    this.results.clear();
    const webhook = this.webhooks.get(id);
    if (!webhook) return;
    this.webhooks.delete(id);
    const own = this.byOwner.get(webhook.ownerId)!;
    for (const pattern of webhook.events) {
      removeFrom(own, pattern, webhook);
      removeFrom(this.ofAllOwners, pattern, webhook);
    }
    if (own.size === 0) this.byOwner.delete(webhook.ownerId);
  }

  /** Every webhook that the event goes to, each once. The array is shared: do not change it. */
  match(ownerId: string | null, type: string): readonly W[] {
    const key = ownerId === null ? type : `${type} ${ownerId}`;
    let found = this.results.get(key);
    if (!found) {
      found = this.lookUp(ownerId, type);
      if (this.results.size >= MAX_RESULTS) this.results.clear();
      this.results.set(key, found);
    }
    return found;
  }

  private lookUp(ownerId: string | null, type: string): readonly W[] {
    const maps =
      ownerId === null ? [this.ofAllOwners] : [this.byOwner.get(ownerId), this.byOwner.get(null)];
    const found = new Set<W>();
    for (const pattern of patternsOf(type)) {
      for (const map of maps) for (const webhook of map?.get(pattern) ?? []) found.add(webhook);
    }
    return [...found];
  }
}

function addTo<W>(map: PatternMap<W>, pattern: string, webhook: W): void {
  const webhooks = map.get(pattern) ?? new Set<W>();
  webhooks.add(webhook);
  map.set(pattern, webhooks);
}

function removeFrom<W>(map: PatternMap<W>, pattern: string, webhook: W): void {
  const webhooks = map.get(pattern);
  webhooks?.delete(webhook);
  if (webhooks?.size === 0) map.delete(pattern);
}
