import { Injectable } from '@nestjs/common';
import { ownerListed, type Principal } from '../auth/principal.js';
import { AuditLogStore } from '../database/audit-log.store.js';
import { decodeCursor, type Page, page } from '../shared/pagination.js';
import { type AuditEntryResponse, type AuditQuery, toAuditEntryResponse } from './audit-log.dto.js';

/** Who changed what, for those who may know: a manager reads of the things of its owner. */
@Injectable()
export class AuditLogService {
  constructor(private readonly store: AuditLogStore) {}

  /** Newest first. */
  async list(query: AuditQuery, principal: Principal): Promise<Page<AuditEntryResponse>> {
    const { cursor, limit, tenant, ownerId: named, ...filter } = query;
    const ownerId = ownerListed(principal, 'audit:read', { tenant, ownerId: named });
    const beforeId = cursor === undefined ? undefined : decodeCursor(cursor);
    const rows = await this.store.list({ ...filter, ownerId, beforeId, limit: limit + 1 });
    return page(rows.map(toAuditEntryResponse), limit);
  }
}
