/** The states of a delivery, as the API and the store name them. */
export const DELIVERY_STATUSES = [
  'pending',
  'delivering',
  'retrying',
  'success',
  'dead_letter',
  'canceled',
] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** Nothing more happens by itself: only a redrive leaves these states. */
export const FINAL_STATUSES = [
  'success',
  'dead_letter',
  'canceled',
] as const satisfies readonly DeliveryStatus[];
