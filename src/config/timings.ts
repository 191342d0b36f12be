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
  /** Redis has hung if it has not responded to the bus for so long. */
  busCommandTimeoutMs: number;
  /** The longest pause before the bus connects to Redis again. */
  busReconnectMaxMs: number;
  /** How often a node checks its stores for `server-status`; two equal checks in a row count. */
  storeCheckMs: number;

  /** How often a node asks the others for the presence that its clients watch. */
  presenceRenewMs: number;
  /** How long a node sends presence changes without being asked again; several `presenceRenewMs`. */
  presenceInterestMs: number;
  /** How often the gap filler compares the bus with the event log. */
  gapFillMs: number;

  /** How long a task may wait in memory before its attempt starts. */
  maxWaitMs: number;
  /** What a lease has beyond wait and timeout of the attempt: to get the outcome written. */
  leaseMarginMs: number;
  /** How long the queue has to get an event to a worker before the sweepers claim it. */
  handoverGraceMs: number;
  /** How often a sweeper looks without a notification: what a lost notification can cost. */
  sweepEveryMs: number;
  /** How often the scheduler of deferred deliveries looks without a notification. */
  deferredPollMs: number;
  /** How often processes read the circuits that others have changed, without a notification. */
  circuitPollMs: number;
  /** How often the bulk runner looks without a notification. */
  bulkPollMs: number;
  /** How long a stopping worker waits for the attempts that are in flight. */
  drainMs: number;

  /** How often caches of tables are compared with them, without a notification. */
  cachePollMs: number;
  /** How long a lost connection for notifications waits before it is opened again. */
  notificationsReconnectMs: number;
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
  busCommandTimeoutMs: 2_000,
  busReconnectMaxMs: 2_000,
  storeCheckMs: 2_500,

  presenceRenewMs: 5_000,
  presenceInterestMs: 15_000,
  gapFillMs: 1_000,

  maxWaitMs: 5_000,
  leaseMarginMs: 10_000,
  handoverGraceMs: 3_000,
  sweepEveryMs: 1_000,
  deferredPollMs: 1_000,
  circuitPollMs: 2_000,
  bulkPollMs: 1_000,
  drainMs: 10_000,

  cachePollMs: 5_000,
  notificationsReconnectMs: 1_000,
});
