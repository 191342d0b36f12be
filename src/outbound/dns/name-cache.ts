import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';

/** What is known of a name. */
export type NameAnswer =
  | { kind: 'addresses'; addresses: string[]; ttlMs: number }
  /** It has no address, or no server has answered: then asking takes long, and is expensive. */
  | { kind: 'failed'; error: Error; isSilence: boolean };

/** Connections of one moment share an answer, also one that may not be kept. */
const MIN_TTL_MS = 1_000;
/** A receiver that moves must not be missed for long, whatever its old TTL said. */
const MAX_TTL_MS = 60_000;
/** Retries must find out soon that a name has been repaired. */
const FAILURE_TTL_MS = 1_000;
const SILENCE_TTL_MS = 5_000;

/** Beyond this, the oldest answer is forgotten. */
const MAX_NAMES = 10_000;

interface Entry {
  answer: NameAnswer;
  untilMs: number;
  /** How often it was used: connections are spread over the addresses of a name. */
  uses: number;
}

/** Keeps answers for their time to live, within bounds, and failures for a moment. */
export class NameCache {
  private readonly entries = new Map<string, Entry>();

  /** @returns undefined when it has to be asked */
  get(name: string, nowMs: number): NameAnswer | undefined {
    const entry = this.entries.get(name);
    if (entry === undefined) return undefined;
    if (entry.untilMs <= nowMs) {
      this.entries.delete(name);
      return undefined;
    }
    const { answer } = entry;
    if (answer.kind === 'failed') return answer;
    return { ...answer, addresses: rotated(answer.addresses, entry.uses++) };
  }

  set(name: string, answer: NameAnswer, nowMs: number): void {
    this.entries.delete(name);
    if (this.entries.size >= MAX_NAMES) this.forgetOldest();
    this.entries.set(name, { answer, untilMs: nowMs + ttlOf(answer), uses: 1 });
  }

  private forgetOldest(): void {
    for (const name of this.entries.keys()) {
      this.entries.delete(name);
      return;
    }
  }
}

function ttlOf(answer: NameAnswer): number {
  if (answer.kind === 'failed') return answer.isSilence ? SILENCE_TTL_MS : FAILURE_TTL_MS;
  return Math.min(Math.max(answer.ttlMs, MIN_TTL_MS), MAX_TTL_MS);
}

/** Another address first, of the same family: which family is tried first remains. */
function rotated(addresses: string[], by: number): string[] {
  const first = isIP(addresses[0]!);
  const preferred = addresses.filter((address) => isIP(address) === first);
  const others = addresses.filter((address) => isIP(address) !== first);
  return [...turned(preferred, by), ...turned(others, by)];
}

function turned(list: string[], by: number): string[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

/** In the form of `dns.lookup()`. */
export const asLookupAddresses = (addresses: readonly string[]): LookupAddress[] =>
  addresses.map((address) => ({ address, family: isIP(address) }));
