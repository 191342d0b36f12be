/** A request that a bin has received. */
export interface BinRequest {
  receivedAt: string;
  headers: Record<string, string>;
  body: unknown;
}

/** As JSON text, which takes a tenth of the memory of small objects. */
interface Kept {
  name: string;
  text: string;
}

/** Of a bin, in a regular expression. */
export const BIN_NAME = '[a-z0-9-]{1,40}';

const MAX_BINS = 20;
const MAX_REQUESTS = 20;

/** Of all bins together, in characters. */
const MAX_KEPT = 8 * 1024 * 1024;

/** Names of headers that hold credentials: `authorization`, `x-api-key`, `set-cookie`, … */
const CREDENTIAL =
  /auth|cookie|token|secret|passw|credential|session|jwt|(?:api|access)-?key|\bkey$/;

const MASK = '***';

/** Bins keep their last requests in memory, newest first, without the credentials in their headers. */
export class RequestBins {
  /** Of all bins, oldest first. */
  private kept: Kept[] = [];

  add(name: string, { headers, ...request }: BinRequest): void {
    this.kept.push({ name, text: JSON.stringify({ ...request, headers: masked(headers) }) });
    const names = new Set<string>();
    const counts = new Map<string, number>();
    let characters = 0;
    // From the newest on, as far as the limits allow.
    this.kept = this.kept
      .reverse()
      .filter(({ name: bin, text }) => {
        if (!names.has(bin) && names.size === MAX_BINS) return false;
        names.add(bin);
        const count = (counts.get(bin) ?? 0) + 1;
        counts.set(bin, count);
        characters += text.length;
        return count <= MAX_REQUESTS && characters <= MAX_KEPT;
      })
      .reverse();
  }

  get(name: string): readonly BinRequest[] {
    return this.kept
      .filter((request) => request.name === name)
      .map(({ text }) => JSON.parse(text) as BinRequest)
      .reverse();
  }
}

const masked = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, CREDENTIAL.test(name) ? MASK : value]),
  );
