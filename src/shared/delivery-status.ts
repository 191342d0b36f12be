/** The states of a delivery, as the API and the database name them. */
export const DELIVERY_STATUSES = [
  'pending',
  'delivering',
  'retrying',
  'success',
  'dead_letter',
  'canceled',
] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** Final: only a redrive or a replay changes them. */
export const FINAL_STATUSES = [
  'success',
  'dead_letter',
  'canceled',
] as const satisfies readonly DeliveryStatus[];
