import type { Role } from '../config/env.js';

/** Something that a process checks before it says that it is ready. */
export type Check = 'database' | 'queue' | 'bus' | 'lag';

/**
 * What each role needs. Without the database nothing is accepted, delivered or resumed. Without Redis
 * all of that goes on: events reach workers through the sweepers, and other nodes through the log,
 * a few seconds later. That is `degraded`, and no reason to take the process out of service.
 */
const NEEDS: Record<Role, readonly Check[]> = {
  api: ['database', 'queue', 'bus'],
  worker: ['database', 'queue', 'lag'],
  realtime: ['database', 'bus'],
};

const REQUIRED: readonly Check[] = ['database'];

export const isRequired = (check: Check): boolean => REQUIRED.includes(check);

/** The checks of a process with these roles. */
export function checksOf(roles: ReadonlySet<Role>): Check[] {
  return [...new Set([...roles].flatMap((role) => NEEDS[role]))];
}
