/**
 * How long things take inside the product, in milliseconds. These are properties of the design and
 * no settings: they depend on each other (a lease has to outlive its renewal), so operators do not
 * change them. They are injected ({@link TIMINGS}) so that tests need not wait for the real ones.
 */
export interface Timings {
  /** A node that has not renewed its entry for so long is dead. */
  nodeLeaseMs: number;
  /** How often a node renews its entry; several times within `nodeLeaseMs`. */
  nodeRenewMs: number;
  /** How often a node sends a heartbeat over the bus. */
  busHeartbeatMs: number;
  /** A node whose heartbeats have not arrived for so long is unreachable; some may get lost. */
  busSilenceMs: number;
  /** How long a request waits for the responses of other nodes. */
  rpcTimeoutMs: number;
  /** How long Redis may take for a connection with its handshake, and for each answer; else it is away. */
  redisTimeoutMs: number;
  /** The longest pause before a lost connection to Redis is opened again. */
  redisReconnectMaxMs: number;
  /** How often a node compares its clock with the database's. */
  clockSyncMs: number;
  /** How often a node checks its stores for `server-status`; two equal checks in a row count. */
  storeCheckMs: number;

  /** How often a node asks the others for the presence that its clients watch. */
  presenceRenewMs: number;
  /** How long a node sends presence changes without being asked again; several `presenceRenewMs`. */
  presenceInterestMs: number;
  /** How often the gap filler compares the bus with the event log. */
  gapFillMs: number;
  /** How long a client waits for a position of the log while PostgreSQL does not answer. */
  positionWaitMs: number;

  /** How long a name of a receiver is looked up before the attempt fails. */
  dnsTimeoutMs: number;
  /** Without an answer for so long, the name is asked for again, at the next name server. */
  dnsResendMs: number;
  /**
   * How long a lookup waits for others of the same owner before the delivery is deferred. Part of
   * `leaseMarginMs`: the time of an attempt begins after it.
   */
  dnsQueueMs: number;

  /** How long a delivery waits after a request that could not be sent, for no reason of its receiver. */
  unsentRetryMs: number;
  /** How long a task may wait in memory before its attempt starts. */
  maxWaitMs: number;
  /** What a lease has beyond wait and timeout of the attempt: to get the outcome written. */
  leaseMarginMs: number;
  /** How much work for one webhook is buffered: much less than `maxWaitMs`. */
  webhookQueueMs: number;
  /** An attempt that has taken so long is marked, so that it counts if this process crashes. */
  attemptMarkMs: number;
  /** The first pause before a delivery is sent again whose attempts were interrupted several times. */
  interruptedPauseMs: number;
  /** The longest pause between tries to write outcomes while the store is away. */
  outcomeRetryMaxMs: number;
  /** How long the queue has to get an event to a worker before the sweepers claim it. */
  handoverGraceMs: number;
  /** How long a job of the queue is locked: longer than it takes to claim its events. */
  queueLockMs: number;
  /** How often the queue looks for jobs of nodes that are dead. */
  queueStalledCheckMs: number;
  /** How often a sweeper looks without a notification: what a lost notification can cost. */
  sweepEveryMs: number;
  /** How often the scheduler of deferred deliveries looks without a notification. */
  deferredPollMs: number;
  /** How often retries that were scheduled before their webhook became exclusive become deferred. */
  convertScheduledMs: number;
  /** How often scheduled deliveries of deleted or disabled webhooks are looked for. */
  orphanedPollMs: number;

  /** A webhook lease that was not renewed for so long may be taken by another process. */
  webhookLeaseMs: number;
  /** How often a process renews its webhook leases; several times within `webhookLeaseMs`. */
  webhookLeaseRenewMs: number;
  /** Subtracted from the lease by its owner: its clock may run a little slower than the database's. */
  webhookLeaseMarginMs: number;
  /** A webhook lease under which nothing was claimed for so long is released. */
  webhookLeaseIdleMs: number;
  /** A free webhook that no process has taken within its share for so long may exceed a share. */
  webhookLeaseUnclaimedMs: number;
  /** How often a process tries to take one lease of another without a notification of its release. */
  webhookLeaseRetryMs: number;

  /** How often processes read the circuits that others have changed, without a notification. */
  circuitPollMs: number;
  /** How often the bulk runner looks without a notification. */
  bulkPollMs: number;
  /** How long the bulk runner pauses for deliveries that are due, or for another node. */
  bulkYieldMs: number;
  /** How long a stopping worker waits for the attempts that are in flight. */
  drainMs: number;
  /** After SIGTERM, how long a process still answers requests: until routers know that it is not ready. */
  shutdownDelayMs: number;
  /** What an orderly stop may take in all; then the process ends without it. */
  shutdownMaxMs: number;

  /** How often retention runs: a day ends once a day, and small portions are less of a load. */
  retentionEveryMs: number;
  /** The pause after retention has failed; errors in a row make it longer, up to the maximum. */
  retentionErrorWaitMs: number;
  retentionMaxErrorWaitMs: number;
  /** The pause before retention requests a lock again; it grows with each of the few tries. */
  retentionRetryMs: number;

  /** How long system events wait after PostgreSQL has refused them. */
  systemEventRetryMs: number;

  /** The server is asked about a statement that has had no answer for so long: it may be silent. */
  silentStatementMs: number;
  /** How often the connection for notifications is tried: it may be silent. */
  notificationsCheckMs: number;
  /** How long a start waits for a PostgreSQL that is away. */
  databaseStartMs: number;
  /** The pause between two tries of that. */
  databaseStartRetryMs: number;

  /** How often caches of tables are compared with them, without a notification. */
  cachePollMs: number;
  /** How long a lost connection for notifications waits before it is opened again. */
  notificationsReconnectMs: number;

  /** How long a node still accepts an API key that another node has revoked. */
  apiKeyTrustMs: number;
  /** How often connections are looked at whose credential may have expired. */
  expiryCheckMs: number;
  /** How often the API keys of open connections are checked for revocation. */
  apiKeyRecheckMs: number;
  /** How often connections are looked at whose client may have stopped reading. */
  slowConsumerCheckMs: number;
  /** How long a client may read nothing of what waits for it before it is disconnected. */
  stuckMs: number;
  /** For a client to read the reason of a close; then its socket is destroyed. */
  closeGraceMs: number;
  /** Clients of a node that stops connect again at a random moment within this time. */
  reconnectWindowMs: number;
}

/** Injection token of {@link Timings}. */
export const TIMINGS = Symbol('TIMINGS');

/** What the product runs with. */
export const PRODUCTION_TIMINGS: Readonly<Timings> = Object.freeze({
  nodeLeaseMs: 10_000,
  nodeRenewMs: 2_500,
  busHeartbeatMs: 1_000,
  busSilenceMs: 3_500,
  rpcTimeoutMs: 1_000,
  redisTimeoutMs: 1_500,
  redisReconnectMaxMs: 1_000,
  clockSyncMs: 5_000,
  storeCheckMs: 2_500,

  presenceRenewMs: 5_000,
  presenceInterestMs: 15_000,
  gapFillMs: 1_000,
  positionWaitMs: 1_000,

  dnsTimeoutMs: 5_000,
  dnsResendMs: 1_500,
  dnsQueueMs: 3_000,

  unsentRetryMs: 5_000,
  maxWaitMs: 5_000,
  leaseMarginMs: 10_000,
  webhookQueueMs: 2_000,
  attemptMarkMs: 1_000,
  interruptedPauseMs: 1_000,
  outcomeRetryMaxMs: 5_000,
  handoverGraceMs: 3_000,
  queueLockMs: 15_000,
  queueStalledCheckMs: 5_000,
  sweepEveryMs: 1_000,
  deferredPollMs: 1_000,
  convertScheduledMs: 15_000,
  orphanedPollMs: 2_000,

  webhookLeaseMs: 10_000,
  webhookLeaseRenewMs: 2_500,
  webhookLeaseMarginMs: 250,
  webhookLeaseIdleMs: 30_000,
  webhookLeaseUnclaimedMs: 2_000,
  webhookLeaseRetryMs: 400,

  circuitPollMs: 2_000,
  bulkPollMs: 1_000,
  bulkYieldMs: 500,
  drainMs: 10_000,
  shutdownDelayMs: 2_000,
  shutdownMaxMs: 25_000,

  retentionEveryMs: 600_000,
  retentionErrorWaitMs: 5_000,
  retentionMaxErrorWaitMs: 300_000,
  retentionRetryMs: 500,

  systemEventRetryMs: 1_000,

  silentStatementMs: 2_500,
  notificationsCheckMs: 2_000,
  databaseStartMs: 60_000,
  databaseStartRetryMs: 500,

  cachePollMs: 5_000,
  notificationsReconnectMs: 1_000,

  apiKeyTrustMs: 3_000,
  expiryCheckMs: 500,
  apiKeyRecheckMs: 1_000,
  slowConsumerCheckMs: 500,
  stuckMs: 3_000,
  closeGraceMs: 1_000,
  reconnectWindowMs: 2_000,
});
