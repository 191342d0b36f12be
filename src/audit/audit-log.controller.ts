import { Get, Query } from '@nestjs/common';
import { CurrentPrincipal } from '../auth/auth.decorators.js';
import type { Principal } from '../auth/principal.js';
import { ApiController, ApiRoute } from '../http/api-route.decorator.js';
import type { Page } from '../shared/pagination.js';
import { AuditPage, AuditQuery, type AuditEntryResponse } from './audit-log.dto.js';
import { AuditLogService } from './audit-log.service.js';

@ApiController('audit-log', 'Audit log')
export class AuditLogController {
  constructor(private readonly log: AuditLogService) {}

  @Get()
  @ApiRoute({
    needs: 'audit:read',
    summary: 'Read the audit log',
    description:
      'Who changed which webhook, API key, event type, delivery, operation or connection, when, from ' +
      'where, and the values before and after; newest first. An entry is committed with its change. ' +
      'Changes of your owner’s things; callers that reach all owners narrow them by `tenant`.',
    schema: AuditPage,
    answer: 'A page of changes.',
    problems: [422],
  })
  list(
    @Query({ schema: AuditQuery }) query: AuditQuery,
    @CurrentPrincipal() principal: Principal,
  ): Promise<Page<AuditEntryResponse>> {
    return this.log.list(query, principal);
  }
}
