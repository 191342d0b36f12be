import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { type Actor, ownerListed, type Principal } from '../../auth/principal.js';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import { AuditLogStore } from '../../database/audit-log.store.js';
import { AppError, NotFoundError, UnavailableError } from '../../shared/app-error.js';
import { changesOf, given } from '../../shared/audit.js';
import { isId } from '../../shared/ids.js';
import { decodeCursor, type Page, page } from '../../shared/pagination.js';
import { CLOSE_CONNECTION } from '../connections/connections.service.js';
import {
  ConnectionRegisterStore,
  type RegisteredConnection,
} from '../lifecycle/connection-register.store.js';
import { MAX_PAYLOAD_BYTES } from '../limits.js';
import { MessageNotifier } from '../messages/message-notifier.service.js';
import { CLIENT_MESSAGE, type PostedMessage, type Recipients } from '../messages/posted-message.js';
import type {
  AdminBroadcast,
  BroadcastResponse,
  ConnectionResponse,
  ConnectionsQuery,
} from './admin-realtime.dto.js';

/**
 * What an operator can do with the live connections of all nodes, from any node with the role `api`:
 * the register lists them, and the node of a connection is asked over the bus.
 */
@Injectable()
export class AdminRealtime {
  constructor(
    private readonly register: ConnectionRegisterStore,
    private readonly rpc: ClusterRpc,
    private readonly notifier: MessageNotifier,
    private readonly audit: AuditLogStore,
  ) {}

  /** The newest first; a connection is listed a moment after it was opened. */
  async list(
    { limit, cursor, tenant, ownerId: named, ...filter }: ConnectionsQuery,
    principal: Principal,
  ): Promise<Page<ConnectionResponse>> {
    const ownerId = ownerListed(principal, 'connections:manage', { tenant, ownerId: named });
    const before = cursor === undefined ? undefined : decodeCursor(cursor);
    const rows = await this.register.list({ ...filter, ownerId, before, limit: limit + 1 });
    return page(rows.map(shown), limit);
  }

  /** @throws NotFoundError; UnavailableError if a node that may have it does not answer */
  async close(id: string, actor: Actor): Promise<void> {
    if (!isId('con', id)) throw new NotFoundError('connection', id);
    const ownerId = (await this.register.ownerOf(id)) ?? null;
    const changes = changesOf({ connected: true }, { connected: false });
    const change = { action: 'connection.closed', resourceId: id, ownerId, changes } as const;
    await this.audit.recordAround(actor, change, () => this.closeAnywhere(id));
  }

  private async closeAnywhere(id: string): Promise<void> {
    const { results, isComplete } = await this.rpc.request(CLOSE_CONNECTION, id, z.boolean());
    if (results.includes(true)) return;
    if (isComplete || (await this.register.ownerOf(id)) === undefined)
      throw new NotFoundError('connection', id);
    throw new UnavailableError('The process that has this connection does not answer.');
  }

  /** @throws AppError `message_too_large` */
  async broadcast(request: AdminBroadcast, actor: Actor): Promise<BroadcastResponse> {
    const { message, connectionId = null, ownerId = null, topic = null } = request;
    const bytes = Buffer.byteLength(JSON.stringify(message));
    if (bytes > MAX_PAYLOAD_BYTES) throw tooLarge();
    // Not what it says: that is for its recipients.
    const changes = given({ ownerId, topic, bytes });
    const change = {
      action: 'connection.broadcast',
      resourceId: connectionId,
      ownerId,
      changes,
    } as const;
    return this.audit.recordAround(actor, change, () => this.send(request, actor));
  }

  private async send(request: AdminBroadcast, principal: Principal): Promise<BroadcastResponse> {
    const posted: PostedMessage = {
      to: recipientsOf(request),
      ...(request.except !== undefined && { except: [request.except] }),
      message: {
        kind: request.connectionId === undefined ? 'broadcast' : 'private',
        from: { userId: principal.userId },
        message: request.message,
        timestamp: new Date().toISOString(),
      },
      isText: false,
    };
    const { results, isComplete } = await this.rpc.request(CLIENT_MESSAGE, posted, z.int());
    this.notifier.posted(principal, posted);
    return { delivered: results.reduce((sum, count) => sum + count, 0), complete: isComplete };
  }
}

const shown = ({ connectedAtMs, clientId, ...row }: RegisteredConnection): ConnectionResponse => ({
  id: row.id,
  ownerId: row.ownerId,
  userId: row.userId,
  clientId: clientId ?? null,
  address: row.address,
  transport: row.transport,
  connectedAt: new Date(connectedAtMs).toISOString(),
});

function recipientsOf({ connectionId, topic, ownerId }: AdminBroadcast): Recipients {
  if (connectionId !== undefined) return { who: 'connection', id: connectionId };
  if (topic) return { who: 'topic', topic, ...(ownerId !== undefined && { ownerId }) };
  return ownerId === undefined ? { who: 'everybody' } : { who: 'owner', ownerId };
}

function tooLarge(): AppError {
  const detail = `A message has at most ${MAX_PAYLOAD_BYTES} bytes as JSON.`;
  const errors = [{ field: 'message', message: 'is too large' }];
  return new AppError('too_large', 'message_too_large', detail, errors);
}
