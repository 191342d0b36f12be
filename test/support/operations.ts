import type { DataSource } from 'typeorm';
import { expect } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import type { ApiClient, Json } from './api-client.js';
import { eventually } from './eventually.js';

/** A bulk operation in the API. */
export interface Operation {
  id: string;
  kind: string;
  status: string;
  count: number;
  done: number;
  skipped: number;
  completedAt: string | null;
}

/** Starts a bulk operation. */
export const ask = async (
  api: ApiClient,
  path: string,
  body: object,
  headers?: Record<string, string>,
): Promise<Operation> => (await api.post(path, body, 202, headers)) as unknown as Operation;

/** Waits for the end of the operation: all its deliveries are pending again. */
export const completed = (api: ApiClient, id: string, timeoutMs?: number): Promise<Operation> =>
  eventually(async () => {
    const operation = (await api.get(`/operations/${id}`)) as unknown as Operation;
    expect(operation).toMatchObject({ status: 'completed' });
    return operation;
  }, timeoutMs);

/**
 * Writes events with deliveries to a webhook in this final state, as after one attempt. Returns the
 * ids of the events, oldest first.
 */
export async function history(
  dataSource: DataSource,
  { webhookId, type, count, status = 'dead_letter' }: Past,
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId('evt'));
  const bodies = ids.map((id) => JSON.stringify({ id, type, timestamp: TIME, data: {} }));
  await dataSource.query(
    `INSERT INTO events (id, type, body, priority)
     SELECT id, $3, body, 1 FROM unnest($1::text[], $2::text[]) AS e(id, body)`,
    [ids, bodies, type],
  );
  await dataSource.query(
    `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, last_error,
                             completed_at)
     SELECT id, event_id, $3, $4, $5, 1, 'http', now()
       FROM unnest($1::text[], $2::text[]) AS d(id, event_id)`,
    [ids.map((id) => deliveryId(id, webhookId)), ids, webhookId, type, status],
  );
  return ids;
}

interface Past {
  webhookId: string;
  type: string;
  count: number;
  status?: string;
}

const TIME = '2026-01-31T12:00:00.000Z';

/** Waits until a webhook has exactly this number of deliveries in this state; returns them. */
export const deliveriesOf = (
  api: ApiClient,
  webhookId: string,
  status: string,
  count: number,
  timeoutMs?: number,
): Promise<Json[]> =>
  eventually(async () => {
    const data: Json[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const path = `/webhooks/${webhookId}/deliveries?status=${status}&limit=200`;
      const page: Json = await api.get(cursor === '' ? path : `${path}&cursor=${cursor}`);
      data.push(...page.data);
      cursor = page.nextCursor;
    }
    expect(data.length, `${status} deliveries`).toBe(count);
    return data;
  }, timeoutMs);
