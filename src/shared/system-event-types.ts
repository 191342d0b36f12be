/** The types of system events: what Tidings publishes about itself; delivered like any other. */
export const SYSTEM_EVENT_TYPES = [
  'client-connected',
  'client-disconnected',
  'message-broadcast',
  'server-status',
  'broadcast-stats',
  'webhook.disabled',
  'webhook.circuit_opened',
  'webhook.circuit_closed',
  'delivery.dead_lettered',
] as const;
export type SystemEventType = (typeof SYSTEM_EVENT_TYPES)[number];

const TYPES: ReadonlySet<string> = new Set(SYSTEM_EVENT_TYPES);

/** Failures to deliver such an event are not reported by further events, which would never end. */
export const isSystemEventType = (type: string): boolean => TYPES.has(type);
