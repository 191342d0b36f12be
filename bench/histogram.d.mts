export interface Summary {
  count: number;
  /** Microseconds; null when nothing was recorded. */
  p50Us: number | null;
  p99Us: number | null;
  maxUs: number | null;
}

export class Histogram {
  get count(): number;
  record(us: number): void;
  percentile(share: number): number | null;
  summary(): Summary;
}
