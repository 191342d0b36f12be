import { Injectable } from '@nestjs/common';
import { Clock } from '../../database/clock.service.js';
import type { Principal } from '../../auth/principal.js';
import { DELIVERY_STATUSES, type DeliveryStatus } from '../../shared/delivery-status.js';
import { firstSuffixAt } from '../../shared/ids.js';
import { Circuits } from '../circuit/circuits.service.js';
import { DeliveriesStore } from './deliveries.store.js';
import { PendingDeliveriesStore } from './pending-deliveries.store.js';
import { DeliveryAccess } from './delivery-access.service.js';
import {
  MAX_COUNTED,
  toCircuitResponse,
  type WebhookStats,
  type WebhookStatsQuery,
} from './stats.dto.js';

const DEFAULT_WINDOW_MS = 86_400_000;

/** Statistics of a webhook: its newest deliveries, and its circuit. */
@Injectable()
export class WebhookStatsService {
  constructor(
    private readonly access: DeliveryAccess,
    private readonly store: DeliveriesStore,
    private readonly pending: PendingDeliveriesStore,
    private readonly circuits: Circuits,
    private readonly clock: Clock,
  ) {}

  async of(id: string, query: WebhookStatsQuery, principal: Principal): Promise<WebhookStats> {
    await this.access.webhook(id, principal);
    const since = query.since ?? new Date(this.clock.nowMs() - DEFAULT_WINDOW_MS);
    const from = `evt_${firstSuffixAt(since.getTime())}`;
    // First those without a row: one that gets it in between would otherwise not be counted at all.
    const waiting = await this.pending.count(id, from, MAX_COUNTED);
    const [counts, circuit] = await Promise.all([
      this.store.count(id, since, MAX_COUNTED - waiting.pending - waiting.delivering),
      this.circuits.stateOf(id),
    ]);
    const { attempts, latencies, byError } = counts;
    const deliveries = counts.deliveries + waiting.pending + waiting.delivering;
    const byStatus = Object.fromEntries(
      DELIVERY_STATUSES.map((status) => [status, counts.byStatus[status] ?? 0]),
    ) as Record<DeliveryStatus, number>;
    byStatus.pending += waiting.pending;
    byStatus.delivering += waiting.delivering;
    const ended = byStatus.success + byStatus.dead_letter;
    return {
      since: since.toISOString(),
      deliveries,
      isTruncated: deliveries === MAX_COUNTED,
      attempts,
      successRate: ended === 0 ? null : byStatus.success / ended,
      latencyMs: latencies && { p50: latencies[0], p95: latencies[1], p99: latencies[2] },
      byStatus,
      byError,
      circuit: toCircuitResponse(circuit),
    };
  }
}
