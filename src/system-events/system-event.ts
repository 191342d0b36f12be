import type { SystemEventType } from '../shared/system-event-types.js';

/**
 * Owner of events that only the operator may see. No credential can have this id, and webhooks and
 * connections of the operator receive the events of every owner.
 */
export const OPERATOR = '$operator';

export interface SystemEvent {
  type: SystemEventType;
  /** The owner of what it is about, or {@link OPERATOR}; null: it is public. */
  ownerId: string | null;
  subject?: string;
  data: Record<string, unknown>;
}
