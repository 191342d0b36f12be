import { Injectable } from '@nestjs/common';
import { PostgresClient } from '../database/postgres.client.js';

/** How many other nodes are alive, by role. */
export type AliveCounts = Readonly<Record<string, number>>;

const OTHERS = `
  coalesce((SELECT jsonb_object_agg(o.role, o.alive)
              FROM (SELECT role, count(*)::int AS alive FROM nodes n, unnest(n.roles) AS role
                     WHERE n.id <> $1 AND n.until > now() AND NOT n.is_lost
                     GROUP BY role) o), '{}') AS others`;

const ENTER = {
  name: 'enter-node',
  text: `INSERT INTO nodes (id, roles, until, is_lost)
         VALUES ($1, $3::text[], now() + $2 * interval '1 ms', false)
         RETURNING ${OTHERS}`,
};

const RENEW = {
  name: 'renew-node',
  text: `UPDATE nodes SET until = now() + $2 * interval '1 ms'
          WHERE id = $1 AND NOT is_lost RETURNING ${OTHERS}`,
};

/** With connections left in the register the lease ends now, and another node takes them over. */
const LEAVE = {
  name: 'leave-node',
  text: `
    WITH empty AS (
      DELETE FROM nodes WHERE id = $1
         AND NOT EXISTS (SELECT 1 FROM realtime_connections WHERE node_id = $1)
      RETURNING id)
    UPDATE nodes SET until = now() WHERE id = $1 AND id NOT IN (SELECT id FROM empty)`,
};

/** Entries of nodes that were lost long ago are deleted, unless connections still refer to them. */
const MARK_LOST = {
  name: 'mark-lost-nodes',
  text: `
    WITH deleted AS (
      DELETE FROM nodes n WHERE n.is_lost AND n.until < now() - interval '1 hour'
         AND NOT EXISTS (SELECT 1 FROM realtime_connections c WHERE c.node_id = n.id))
    UPDATE nodes SET is_lost = true WHERE until <= now() AND NOT is_lost AND id <> $1`,
};

const PING = { name: 'ping', text: 'SELECT 1' };

/** The table `nodes`, on the database's clock. */
@Injectable()
export class NodeRegistryStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** Adds an entry. */
  async enter(id: string, leaseMs: number, roles: readonly string[]): Promise<AliveCounts> {
    const [row] = await this.postgres.run<{ others: AliveCounts }>(ENTER, [id, leaseMs, roles]);
    return row!.others;
  }

  /** Undefined: another node has marked the entry as lost. */
  async renew(id: string, leaseMs: number): Promise<AliveCounts | undefined> {
    const [row] = await this.postgres.run<{ others: AliveCounts }>(RENEW, [id, leaseMs]);
    return row?.others;
  }

  /** Ends the lease of a node that stops. */
  async leave(id: string): Promise<void> {
    await this.postgres.run(LEAVE, [id]);
  }

  /** Marks every other node whose lease has ended. Its entry cannot be renewed any more. */
  async markLost(id: string): Promise<void> {
    await this.postgres.run(MARK_LOST, [id]);
  }

  /** @throws if the database does not respond */
  async ping(): Promise<void> {
    await this.postgres.run(PING, []);
  }
}
