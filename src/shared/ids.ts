import { V7Generator } from 'uuidv7';

/**
 * Identifiers: TypeID (prefix + Crockford base32) over UUIDv7 (RFC 9562).
 *
 * The first ten characters of the suffix are exactly the 48-bit millisecond timestamp, so ids sort
 * by time as plain text in bytewise collation. Nothing in the product relies on that order alone:
 * an id is made before its row commits, so a smaller id can become visible later.
 */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const SUFFIX_LENGTH = 26;
/** Characters of a suffix that encode the millisecond. */
export const TIME_PART_LENGTH = 10;

/** Events, webhooks, deliveries, API keys, connections, bulk operations, batches of a webhook, audit entries. */
export type IdPrefix = 'evt' | 'wh' | 'dlv' | 'key' | 'con' | 'op' | 'bat' | 'aud';

/** One for each kind: kinds may take their times from different clocks. */
const generators = new Map<IdPrefix, V7Generator>();

/**
 * A new, time-sortable id. Those of one kind are monotonic within this process.
 * @param nowMs its time in whole milliseconds; absent: by the clock of this machine. Ids of events are
 * compared with times and ids of other nodes, so they take the database's time.
 */
export function newId(prefix: IdPrefix, nowMs?: number): string {
  let generator = generators.get(prefix);
  if (!generator) generators.set(prefix, (generator = new V7Generator()));
  const { bytes } =
    nowMs === undefined ? generator.generate() : generator.generateOrResetWithTs(nowMs);
  return `${prefix}_${encodeSuffix(bytes)}`;
}

/** Whether a text has the form of an id of this kind. Nothing with another form exists. */
export function isId(prefix: IdPrefix, value: string): boolean {
  return (
    value.length === prefix.length + 1 + SUFFIX_LENGTH &&
    value.startsWith(`${prefix}_`) &&
    /^[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(value.slice(prefix.length + 1))
  );
}

/** The ten characters of an id that encode its millisecond; equal for ids of the same instant. */
export function timePart(id: string): string {
  const start = id.indexOf('_') + 1;
  return id.slice(start, start + TIME_PART_LENGTH);
}

/** The millisecond (since 1970) in which an id was made. */
export function timeOf(id: string): number {
  let ms = 0;
  for (const character of timePart(id)) ms = ms * 32 + ALPHABET.indexOf(character);
  return ms;
}

/** The smallest suffix of ids made in or after this millisecond. */
export function firstSuffixAt(ms: number): string {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.min(Math.max(ms, 0), 2 ** 48 - 1)) << 16n);
  return encodeSuffix(bytes);
}

/** 16 bytes as 26 characters of Crockford base32, most significant first (two leading zero bits). */
export function encodeSuffix(bytes: Readonly<Uint8Array>): string {
  let suffix = '';
  let buffer = 0;
  let bits = 2;
  for (let index = 0; index < 16; index++) {
    buffer = ((buffer & 0x1f) << 8) | bytes[index]!;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      suffix += ALPHABET[(buffer >> bits) & 0x1f];
    }
  }
  return suffix;
}

/** An owner's id as the first part of a longer text: with its length, because it may contain any separator. */
export const delimited = (ownerId: string): string => `${ownerId.length}:${ownerId}`;
