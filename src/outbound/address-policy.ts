import { BlockList, isIP, isIPv4 } from 'node:net';

/**
 * Which addresses an outgoing request may reach.
 *
 * IPv4 is public unless a registry reserves it (IANA special-purpose addresses). IPv6 is the other
 * way round: refused unless it lies in global unicast space and outside the blocks that embed or
 * reserve something, so that kinds of addresses yet unknown are refused too. An operator may allow
 * more, but never a metadata service: it hands out credentials to every caller.
 *
 * The policy is applied to the address that a socket really uses; see the connector.
 */
export type AddressClass =
  'public' | 'loopback' | 'private' | 'special' | 'metadata' | 'not_an_address';

export type AddressDecision = { allowed: true } | { allowed: false; reason: AddressClass };

export interface AddressPolicy {
  /** Total: text that is not an address is refused. A zone id (`%eth0`) is ignored. */
  check(ip: string): AddressDecision;
}

/** @param allowCidrs blocks that may be reached although they are not public, e.g. `127.0.0.0/8` */
export function compileAddressPolicy(allowCidrs: readonly string[]): AddressPolicy {
  const allow = blockList(allowCidrs);
  return { check: (ip) => check(ip, allow) };
}

function check(ip: string, allow: BlockList): AddressDecision {
  const address = normalized(ip);
  const reason = address === undefined ? 'not_an_address' : classified(address);
  if (reason === 'public') return { allowed: true };
  if (address === undefined || reason === 'metadata') return { allowed: false, reason };
  return isIn(allow, address) ? { allowed: true } : { allowed: false, reason };
}

/** What kind of address this is, independent of what an operator allows. */
export function classify(ip: string): AddressClass {
  const address = normalized(ip);
  return address === undefined ? 'not_an_address' : classified(address);
}

const LOOPBACK = blockList(['127.0.0.0/8', '::1/128']);

const PRIVATE = blockList(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']);

/**
 * All of link-local space: clouds keep adding services to it. The others lie in public or private
 * ranges: Azure's wire server, Oracle's and Alibaba's metadata, AWS and Google over IPv6.
 */
const METADATA = blockList([
  '169.254.0.0/16',
  '168.63.129.16/32',
  '192.0.0.192/32',
  '100.100.100.200/32',
  'fe80::/10',
  'fd00:ec2::/32',
  'fd20:ce::254/128',
]);

const SPECIAL_IPV4 = blockList([
  '0.0.0.0/8',
  '100.64.0.0/10',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]);

const GLOBAL_UNICAST_IPV6 = blockList(['2000::/3']);

/** Protocol assignments (Teredo, ORCHID, …), documentation, 6to4, AS112. */
const SPECIAL_IPV6 = blockList([
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '2620:4f:8000::/48',
  '3fff::/20',
]);

/** IPv4 in dotted form, also if it was mapped into IPv6; otherwise the eight groups of IPv6. */
type Address = { family: 'ipv4'; text: string } | { family: 'ipv6'; text: string; groups: Groups };

type Groups = readonly [number, number, number, number, number, number, number, number];

function classified(address: Address): AddressClass {
  if (isMetadata(address)) return 'metadata';
  if (isIn(LOOPBACK, address)) return 'loopback';
  if (isIn(PRIVATE, address)) return 'private';
  return isPublic(address) ? 'public' : 'special';
}

function isMetadata(address: Address): boolean {
  if (isIn(METADATA, address)) return true;
  const embedded = address.family === 'ipv6' ? embeddedIPv4(address.groups) : undefined;
  return embedded !== undefined && METADATA.check(embedded, 'ipv4');
}

function isPublic(address: Address): boolean {
  if (address.family === 'ipv4') return !isIn(SPECIAL_IPV4, address);
  return (
    isIn(GLOBAL_UNICAST_IPV6, address) && !isIn(SPECIAL_IPV6, address) && !isIsatap(address.groups)
  );
}

/** An interface identifier of RFC 5214 carries an IPv4 address behind any prefix. */
const isIsatap = (g: Groups) => (g[4] === 0 || g[4] === 0x200) && g[5] === 0x5efe;

const is6to4 = (g: Groups) => g[0] === 0x2002;
const isTeredo = (g: Groups) => g[0] === 0x2001 && g[1] === 0;
const isNat64 = (g: Groups) => g[0] === 0x64 && g[1] === 0xff9b;
const isIPv4Mapped = (g: Groups) => g[5] === 0xffff && areZero(g, 0, 5);
/** `::a.b.c.d` (compatible) and `::ffff:0:a.b.c.d` (translated). */
const isCompatible = (g: Groups) =>
  areZero(g, 0, 4) && (g[4] === 0 || g[4] === 0xffff) && g[5] === 0;

function areZero(groups: Groups, from: number, to: number): boolean {
  return groups.slice(from, to).every((group) => group === 0);
}

/** The IPv4 address that a transition mechanism would send this to. */
function embeddedIPv4(g: Groups): string | undefined {
  if (is6to4(g)) return dotted(g[1], g[2]);
  if (isTeredo(g)) return dotted(g[6] ^ 0xffff, g[7] ^ 0xffff);
  if (isNat64(g) || isCompatible(g) || isIsatap(g)) return dotted(g[6], g[7]);
  return undefined;
}

function normalized(ip: string): Address | undefined {
  const text = ip.replace(/%.*$/s, '');
  if (isIP(text) === 0) return undefined;
  if (isIPv4(text)) return { family: 'ipv4', text };
  const groups = groupsOf(text);
  return isIPv4Mapped(groups)
    ? { family: 'ipv4', text: dotted(groups[6], groups[7]) }
    : { family: 'ipv6', text, groups };
}

/** The URL parser gives every IPv6 address one canonical form: hex groups, at most one `::`. */
function groupsOf(ipv6: string): Groups {
  const canonical = new URL(`http://[${ipv6}]`).hostname.slice(1, -1);
  const [head, tail] = canonical.split('::').map((part) => part.split(':').filter(Boolean));
  const present = (head?.length ?? 0) + (tail?.length ?? 0);
  const zeros = Array.from({ length: 8 - present }, () => '0');
  const groups = [...(head ?? []), ...zeros, ...(tail ?? [])].map((group) => parseInt(group, 16));
  return groups as unknown as Groups;
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

function isIn(blocks: BlockList, address: Address): boolean {
  return blocks.check(address.text, address.family);
}

function blockList(cidrs: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    blocks.addSubnet(address, Number(bits), isIPv4(address) ? 'ipv4' : 'ipv6');
  }
  return blocks;
}
