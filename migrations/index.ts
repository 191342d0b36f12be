import { Baseline1790000000000 } from './1790000000000-baseline.js';
import { ResentAttempts1790000100000 } from './1790000100000-resent-attempts.js';
import { Egress1790000200000 } from './1790000200000-egress.js';
import { PausesAndInterruptedAttempts1790000300000 } from './1790000300000-pauses-and-interrupted-attempts.js';
import { ApiKeyParent1790000500000 } from './1790000500000-api-key-parent.js';
import { MatchVersions1790000700000 } from './1790000700000-match-versions.js';
import { WebhookDisabledAt1790000900000 } from './1790000900000-webhook-disabled-at.js';
import { BatchAttempts1790001000000 } from './1790001000000-batch-attempts.js';
import { Users1790001050000 } from './1790001050000-users.js';
import { AuditLog1790001200000 } from './1790001200000-audit-log.js';
import { Channels1790001500000 } from './1790001500000-channels.js';
import { RealtimeTotals1790001600000 } from './1790001600000-realtime-totals.js';

/** In order; named one by one so that dist, tests and the command line load the same classes. */
export const migrations = [
  Baseline1790000000000,
  ResentAttempts1790000100000,
  Egress1790000200000,
  PausesAndInterruptedAttempts1790000300000,
  ApiKeyParent1790000500000,
  MatchVersions1790000700000,
  WebhookDisabledAt1790000900000,
  BatchAttempts1790001000000,
  Users1790001050000,
  AuditLog1790001200000,
  Channels1790001500000,
  RealtimeTotals1790001600000,
];
