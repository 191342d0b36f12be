/** What nodes ask each other about the connections that have a client id. */
import { z } from 'zod';

/** RPC methods. */
export const CLIENT_ID_HOLDERS = 'client-id-holders';
export const TAKE_OVER_CLIENT_ID = 'take-over-client-id';

/** Asks which connections have these client ids. */
export const HoldersRequest = z.array(z.object({ ownerId: z.string(), clientId: z.string() }));
export type HoldersRequest = z.output<typeof HoldersRequest>;

export const Holder = z.object({ connectionId: z.string(), userId: z.string() });
export type Holder = z.output<typeof Holder>;

/** In the order of the request. */
export const HoldersResponse = z.array(z.array(Holder));
export type HoldersResponse = z.output<typeof HoldersResponse>;

/** A connection takes over its client id from older ones of its user. */
export const Takeover = z.object({
  ownerId: z.string(),
  clientId: z.string(),
  userId: z.string(),
  connectionId: z.string(),
  /** The connections that had the id when this one was admitted: they are older, whatever the clocks say. */
  seen: z.array(z.string()),
});
export type Takeover = z.output<typeof Takeover>;

export const TakeoverRequest = z.array(Takeover);
/** Those of the request that have lost to a newer connection of the responding node. */
export const TakeoverResponse = z.array(z.string());
