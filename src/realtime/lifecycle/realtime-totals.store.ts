import { Injectable } from '@nestjs/common';
import { bulk, number, text, textList, texts } from '../../database/bulk.js';
import { PostgresClient } from '../../database/postgres.client.js';

/** Of an owner, or of all, over all nodes. */
export interface RealtimeTotals {
  /** Connections that were ever opened. */
  totalConnections: number;
  /** Connections that are open; those of a node that has crashed until its lease ends. */
  activeConnections: number;
  /** Messages of clients to each other, ever: texts, broadcasts, chats and private ones. */
  totalMessages: number;
}

/** What the columns of a row are called as {@link RealtimeTotals}. */
export const TOTALS = (row: string): string =>
  `${row}.opened::float8 AS "totalConnections", ${row}.active::float8 AS "activeConnections",
   ${row}.messages::float8 AS "totalMessages"`;

interface MessageCount {
  ownerId: string;
  count: number;
}

const MESSAGES = bulk<MessageCount>({
  owner_id: text(({ ownerId }) => ownerId),
  count: number('bigint', ({ count }) => count),
});

/** All statements lock the rows in the same order. */
const ADD_MESSAGES = {
  name: 'add-realtime-messages',
  text: `
    INSERT INTO realtime_totals AS t (owner_id, opened, active, messages)
    SELECT m.owner_id, 0, 0, m.count FROM ${MESSAGES.unnest('m')} ORDER BY m.owner_id COLLATE "C"
    ON CONFLICT (owner_id) DO UPDATE SET messages = t.messages + excluded.messages
    RETURNING t.owner_id, ${TOTALS('t')}`,
};

const OF_OWNERS = {
  name: 'realtime-totals-of-owners',
  text: `SELECT t.owner_id, ${TOTALS('t')} FROM realtime_totals t WHERE t.owner_id = ANY (${texts(1)})`,
};

const OF_ALL = {
  name: 'realtime-totals',
  text: `
    SELECT ${TOTALS('t')}
      FROM (SELECT coalesce(sum(opened), 0) AS opened, coalesce(sum(active), 0) AS active,
                   coalesce(sum(messages), 0) AS messages FROM realtime_totals) t`,
};

type OwnerRow = RealtimeTotals & { owner_id: string };

/** The counters of each owner. {@link ConnectionRegisterStore} counts connections. */
@Injectable()
export class RealtimeTotalsStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** @returns the totals of these owners afterwards */
  async addMessages(counts: ReadonlyMap<string, number>): Promise<Map<string, RealtimeTotals>> {
    const rows = [...counts].map(([ownerId, count]) => ({ ownerId, count }));
    return byOwner(await this.postgres.run<OwnerRow>(ADD_MESSAGES, MESSAGES.values(rows)));
  }

  async ofOwners(ownerIds: readonly string[]): Promise<Map<string, RealtimeTotals>> {
    return byOwner(await this.postgres.run<OwnerRow>(OF_OWNERS, [textList(ownerIds)]));
  }

  /** Reads a row for each owner that ever had a connection. */
  async ofAll(): Promise<RealtimeTotals> {
    const [row] = await this.postgres.run<RealtimeTotals & object>(OF_ALL, []);
    return row!;
  }
}

const byOwner = (rows: readonly OwnerRow[]): Map<string, RealtimeTotals> =>
  new Map(rows.map(({ owner_id: ownerId, ...totals }) => [ownerId, totals]));
