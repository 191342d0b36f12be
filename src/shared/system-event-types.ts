/** The events that the system publishes about itself; they are delivered like all others. */
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

/** A system event never leads to another one about itself: that would never end. */
export const isSystemEventType = (type: string): boolean => TYPES.has(type);
