/** The events that the system publishes about itself; they are delivered like any other. */
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

/**
 * Owner of events that only the operator may hear. No credential can speak for it, and the webhooks
 * and sockets of the operator hear every owner.
 */
export const OPERATOR = '$operator';

export interface SystemEvent {
  type: SystemEventType;
  /** Whose thing it is about, or {@link OPERATOR}; null: everybody may hear it. */
  ownerId: string | null;
  subject?: string;
  data: Record<string, unknown>;
}

const TYPES: ReadonlySet<string> = new Set(SYSTEM_EVENT_TYPES);

/** What is told about such an event would be told about that again, without end: so nothing is. */
export const isSystemEventType = (type: string): boolean => TYPES.has(type);
