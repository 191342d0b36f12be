/**
 * Which events and webhooks a viewer may see; the only place that knows this rule.
 *
 * A viewer is a caller, a live connection or a webhook. One that belongs to an owner sees the events
 * of this owner and public ones; the operator sees those of all owners. Topics narrow this further.
 */
import { covers } from './event-pattern.js';

/**
 * Owner of events that only the operator may see. No credential can have this id, and webhooks and
 * connections of the operator receive the events of every owner.
 */
export const OPERATOR = '$operator';

/**
 * The viewer's owner id of one that sees public events only: no event, and no credential, can have it.
 */
export const PUBLIC_ONLY = '$public';

/** A viewer, by what decides about visibility. */
export interface Viewer {
  /** Null: the operator, who sees the things of every owner. */
  ownerId: string | null;
  /** Patterns of the events that it may receive; undefined: all. */
  topics?: readonly string[];
}

/** An event, by what decides about visibility. */
interface VisibleEvent {
  /** Null: it is public. */
  ownerId: string | null;
  type: string;
}

/** Whether events of this owner (null: public ones) reach the viewer with this owner. */
export const reaches = (viewerOwnerId: string | null, eventOwnerId: string | null): boolean =>
  viewerOwnerId === null || eventOwnerId === null || viewerOwnerId === eventOwnerId;

/** {@link reaches} in SQL, for two expressions of type `text`. */
export const reachesSql = (viewerOwnerId: string, eventOwnerId: string): string =>
  `(${viewerOwnerId} IS NULL OR ${eventOwnerId} IS NULL OR ${viewerOwnerId} = ${eventOwnerId})`;

/** Whether the viewer may receive everything that the pattern selects, of the owners that it sees. */
export const mayReceive = ({ topics }: Viewer, pattern: string): boolean =>
  topics === undefined || topics.some((topic) => covers(topic, pattern));

/** Whether the viewer may see the event. */
export const maySee = (viewer: Viewer, { ownerId, type }: VisibleEvent): boolean =>
  reaches(viewer.ownerId, ownerId) && mayReceive(viewer, type);

/**
 * Whether the viewer may see what belongs to this owner alone: webhooks, their deliveries, and
 * operations. What the operator owns (null) is not public.
 */
export const owns = (viewerOwnerId: string | null, ownerId: string | null): boolean =>
  viewerOwnerId === null || viewerOwnerId === ownerId;

/** {@link owns} in SQL, for two expressions of type `text`. */
export const ownsSql = (viewerOwnerId: string, ownerId: string): string =>
  `(${viewerOwnerId} IS NULL OR ${viewerOwnerId} = ${ownerId})`;
