/** Which deliveries to one webhook go first, most urgent first; stored as the index. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];
