/**
 * The IPv4 addresses inside IPv6 addresses: what a gateway or a tunnel on the way would send to.
 */

/** The 16 bytes of an IPv6 address. */
export type Bytes = readonly number[];

/** A prefix under which a NAT64 gateway translates to IPv4 (RFC 6052). */
export interface Nat64Prefix {
  bytes: Bytes;
  /** In bits: one of {@link NAT64_LENGTHS}. */
  length: number;
}

export interface EmbeddedIPv4 {
  /** In dotted form. */
  text: string;
  /** False: the bits around it do not look like a translation, but a gateway may ignore them. */
  isCertain: boolean;
}

/** The prefix lengths that RFC 6052, 2.2 defines, each with a position of its own for the IPv4 address. */
const NAT64_LENGTHS: readonly number[] = [32, 40, 48, 56, 64, 96];

/** RFC 6052, 2.2: zero in every layout, and in no layout part of the IPv4 address. */
const RESERVED_BYTE = 8;

/** @param cidr an IPv6 block whose length is one of {@link NAT64_LENGTHS} */
export function nat64Prefix(cidr: string): Nat64Prefix {
  const [address = '', length] = cidr.split('/');
  return { bytes: bytesOf(address), length: Number(length) };
}

/** The IPv4 address that an IPv6 address is another notation of (RFC 4291, 2.5.5.2). */
export const mappedIPv4 = (bytes: Bytes): string | undefined =>
  startsWith(bytes, MAPPED) ? dotted(bytes, LAST) : undefined;

/** The IPv4 address that a gateway with one of these prefixes sends to: routes go by the longest one. */
export function translatedIPv4(bytes: Bytes, prefixes: readonly Nat64Prefix[]): string | undefined {
  const lengths = prefixes
    .filter((each) => startsWith(bytes, each.bytes.slice(0, each.length / 8)))
    .map(({ length }) => length);
  return lengths.length === 0 ? undefined : dotted(bytes, positionsOf(Math.max(...lengths)));
}

/** The IPv4 addresses that a known transition mechanism would send to, whatever its configuration. */
export function embeddedIPv4(bytes: Bytes): EmbeddedIPv4[] {
  const texts = startsWith(bytes, TEREDO) ? teredoIPv4(bytes) : mechanismIPv4(bytes);
  return texts.map((text) => ({ text, isCertain: true }));
}

/** Under a prefix of unknown length, which may be that of a NAT64: one address for each layout. */
export function guessedIPv4(bytes: Bytes): EmbeddedIPv4[] {
  return NAT64_LENGTHS.map((length) => {
    const positions = positionsOf(length);
    const isRestZero = bytes.slice(positions[3] + 1).every((byte) => byte === 0);
    // Without a rest, nothing distinguishes it from an interface identifier that was set by hand.
    const isCertain = bytes[RESERVED_BYTE] === 0 && isRestZero && length !== 96;
    return { text: dotted(bytes, positions), isCertain };
  });
}

/** An interface identifier of RFC 5214 carries an IPv4 address behind any prefix. */
export const isIsatap = (bytes: Bytes): boolean =>
  (bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;

/** The URL parser gives every IPv6 address one canonical form: hex groups, at most one `::`. */
export function bytesOf(ipv6: string): Bytes {
  const canonical = new URL(`http://[${ipv6}]`).hostname.slice(1, -1);
  const [head, tail] = canonical.split('::').map((part) => part.split(':').filter(Boolean));
  const present = (head?.length ?? 0) + (tail?.length ?? 0);
  const zeros = Array.from({ length: 8 - present }, () => '0');
  const groups = [...(head ?? []), ...zeros, ...(tail ?? [])].map((group) => parseInt(group, 16));
  return groups.flatMap((group) => [group >> 8, group & 0xff]);
}

/** Where an IPv4 address has its four bytes. */
type Positions = readonly [number, number, number, number];

const LAST: Positions = [12, 13, 14, 15];
const zeros = (count: number): Bytes => Array.from({ length: count }, () => 0);

/** `::ffff:a.b.c.d` */
const MAPPED: Bytes = [...zeros(10), 0xff, 0xff];
/** `::a.b.c.d` (RFC 4291, 2.5.5.1), which `::` and `::1` are not. */
const COMPATIBLE: Bytes = zeros(12);
/** `::ffff:0:a.b.c.d` (RFC 2765). */
const TRANSLATED: Bytes = [...zeros(8), 0xff, 0xff, 0, 0];
/** RFC 6052, RFC 8215 and what may come beside them. */
const NAT64: Bytes = [0, 0x64, 0xff, 0x9b];
const SIX_TO_FOUR: Bytes = [0x20, 0x02];
const TEREDO: Bytes = [0x20, 0x01, 0, 0];

/** The server, and the client with its bits inverted (RFC 4380, 4). */
const teredoIPv4 = (bytes: Bytes): string[] => [
  dotted(bytes, [4, 5, 6, 7]),
  dotted(
    bytes.map((byte) => byte ^ 0xff),
    LAST,
  ),
];

function mechanismIPv4(bytes: Bytes): string[] {
  if (startsWith(bytes, SIX_TO_FOUR)) return [dotted(bytes, [2, 3, 4, 5])];
  if (startsWith(bytes, NAT64))
    return NAT64_LENGTHS.map((each) => dotted(bytes, positionsOf(each)));
  const isCompatible = startsWith(bytes, COMPATIBLE) && bytes.slice(12, 15).some(Boolean);
  const isLast = isCompatible || startsWith(bytes, TRANSLATED) || isIsatap(bytes);
  return isLast ? [dotted(bytes, LAST)] : [];
}

/** Four bytes behind the prefix, without the reserved one. */
function positionsOf(length: number): Positions {
  const from = length / 8;
  const positions = [0, 1, 2, 3, 4].map((index) => from + index);
  return positions.filter((place) => place !== RESERVED_BYTE).slice(0, 4) as unknown as Positions;
}

const startsWith = (bytes: Bytes, prefix: Bytes): boolean =>
  prefix.every((byte, index) => bytes[index] === byte);

const dotted = (bytes: Bytes, positions: Positions): string =>
  positions.map((place) => bytes[place]).join('.');
