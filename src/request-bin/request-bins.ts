/** A request that a bin has received. Bins keep their last requests in memory, newest first. */
export interface BinRequest {
  receivedAt: string;
  headers: Record<string, string>;
  body: unknown;
}

const MAX_BINS = 20;
const MAX_REQUESTS = 20;

export class RequestBins {
  private readonly bins = new Map<string, BinRequest[]>();

  add(name: string, request: BinRequest): void {
    const requests = [request, ...(this.bins.get(name) ?? [])].slice(0, MAX_REQUESTS);
    // Deleted first, so that the map is in the order of the last use.
    this.bins.delete(name);
    this.bins.set(name, requests);
    const [oldest] = this.bins.keys();
    if (this.bins.size > MAX_BINS && oldest !== undefined) this.bins.delete(oldest);
  }

  get(name: string): readonly BinRequest[] {
    return this.bins.get(name) ?? [];
  }
}
