import { PRODUCTION_TIMINGS, type Timings } from '../../src/config/timings.js';

/**
 * The timings of applications in tests that differ from production: short enough that no test waits
 * for a real lease, long enough for two busy cores.
 */
export const TEST_TIMINGS: Partial<Timings> = {
  nodeLeaseMs: 3_000,
  nodeRenewMs: 500,
  busHeartbeatMs: 200,
  busSilenceMs: 2_500,
  redisTimeoutMs: 1_000,
  redisReconnectMaxMs: 200,
  clockSyncMs: 500,
  storeCheckMs: 300,
  presenceRenewMs: 500,
  presenceInterestMs: 5_000,
  gapFillMs: 200,
  positionWaitMs: 200,
  apiKeyTrustMs: 300,
  expiryCheckMs: 50,
  apiKeyRecheckMs: 100,
  slowConsumerCheckMs: 50,
  stuckMs: 500,
  closeGraceMs: 200,
  reconnectWindowMs: 200,
  deferredPollMs: 250,
  orphanedPollMs: 500,
  webhookLeaseMs: 3_000,
  webhookLeaseRenewMs: 500,
  webhookLeaseUnclaimedMs: 500,
  webhookLeaseRetryMs: 200,
  dnsTimeoutMs: 2_000,
  dnsResendMs: 500,
  dnsQueueMs: 400,
  unsentRetryMs: 200,
  maxWaitMs: 1_000,
  leaseMarginMs: 1_500,
  webhookQueueMs: 400,
  attemptMarkMs: 200,
  interruptedPauseMs: 50,
  outcomeRetryMaxMs: 500,
  handoverGraceMs: 500,
  shutdownDelayMs: 0,
  sweepEveryMs: 200,
  notificationsReconnectMs: 100,
  silentStatementMs: 1_000,
  notificationsCheckMs: 500,
  databaseStartRetryMs: 100,
  retentionRetryMs: 20,
  systemEventRetryMs: 100,
};

/** All of them, for tests that build parts of the product themselves. */
export const ALL_TEST_TIMINGS: Timings = { ...PRODUCTION_TIMINGS, ...TEST_TIMINGS };
