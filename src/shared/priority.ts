/** Of the deliveries to one webhook, the most urgent first; stored as the index. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];
