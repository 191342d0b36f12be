import type { SystemEventType } from '../shared/system-event-types.js';

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
