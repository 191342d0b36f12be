import { Module } from '@nestjs/common';
import { AuditLogController } from './audit-log.controller.js';
import { AuditLogService } from './audit-log.service.js';

/** The reading of the audit log; the modules that change something write it. */
@Module({ controllers: [AuditLogController], providers: [AuditLogService] })
export class AuditModule {}
