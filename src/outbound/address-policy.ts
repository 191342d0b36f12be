import { BlockList, isIP, isIPv4 } from 'node:net';
import {
  type Bytes,
  bytesOf,
  embeddedIPv4,
  guessedIPv4,
  isIsatap,
  mappedIPv4,
  nat64Prefix,
  type Nat64Prefix,
  translatedIPv4,
} from './embedded-ipv4.js';

/**
 * Which addresses an outgoing request may reach.
 *
 * IPv4 is public unless a registry reserves it (IANA special-purpose addresses). IPv6 is the other
 * way round: refused unless it lies in global unicast space and outside the blocks that embed or
 * reserve something, so that kinds of addresses yet unknown are refused too. An operator may allow
 * more, but never a metadata service: it hands out credentials to every caller.
 *
 * What a gateway or a tunnel sends on as IPv4 is judged as that IPv4 address: behind NAT64 every
 * receiver has such an address, and an allowed block of them must not open private IPv4 space.
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

/** What an operator has configured. */
interface Rules {
  /** By family: to a common list, an IPv4 address would lie in `::/0` too, in its mapped form. */
  allow: Record<Address['family'], BlockList>;
  nat64: readonly Nat64Prefix[];
}

/** The well-known prefix of NAT64 (RFC 6052, 2.1). */
const WELL_KNOWN = nat64Prefix('64:ff9b::/96');

/** As large as the IPv4 space: an allowed block of this size is a translation of it. */
const SIZE_OF_IPV4 = '/96';

/**
 * @param allowCidrs blocks that may be reached although they are not public, e.g. `127.0.0.0/8`
 * @param nat64Prefixes the prefixes of the network's own NAT64 (RFC 6052), e.g. `2001:db8:64::/96`
 */
export function compileAddressPolicy(
  allowCidrs: readonly string[],
  nat64Prefixes: readonly string[] = [],
): AddressPolicy {
  const translated = allowCidrs.filter((cidr) => cidr.includes(':') && cidr.endsWith(SIZE_OF_IPV4));
  const nat64 = [WELL_KNOWN, ...[...nat64Prefixes, ...translated].map(nat64Prefix)];
  const allow = {
    ipv4: blockList(allowCidrs.filter(isIPv4Block)),
    ipv6: blockList(allowCidrs.filter((cidr) => !isIPv4Block(cidr))),
  };
  const rules = { allow, nat64 };
  return { check: (ip) => check(ip, rules) };
}

function check(ip: string, rules: Rules): AddressDecision {
  const address = normalized(ip);
  if (address === undefined) return { allowed: false, reason: 'not_an_address' };
  const translated = translationOf(address, rules.nat64);
  if (translated !== undefined) return checkBehindGateway(translated, rules);
  const reason = classified(address);
  if (reason === 'public') return { allowed: true };
  if (reason === 'metadata' || !isIn(rules.allow[address.family], address))
    return { allowed: false, reason };
  return refusedInside(address, rules) ?? { allowed: true };
}

/** Also in mapped form (`::ffff:10.0.0.0/104`), which BlockList takes for the IPv4 block. */
function isIPv4Block(cidr: string): boolean {
  const [address = '', bits] = cidr.split('/');
  if (isIPv4(address)) return true;
  return Number(bits) >= 96 && mappedIPv4(bytesOf(address)) !== undefined;
}

/** An allowed IPv6 block allows no IPv4 address that its addresses may be translated to. */
function refusedInside(address: Address, rules: Rules): AddressDecision | undefined {
  if (address.family === 'ipv4') return undefined;
  for (const ipv4 of [...embeddedIPv4(address.bytes), ...guessedIPv4(address.bytes)]) {
    const decision = checkBehindGateway(ipv4.text, rules);
    if (decision.allowed || THIS_NETWORK.check(ipv4.text)) continue;
    if (ipv4.isCertain || decision.reason === 'metadata') return decision;
  }
  return undefined;
}

/** Loopback of a gateway is another machine than the one that `127.0.0.0/8` allows. */
const checkBehindGateway = (ipv4: string, rules: Rules): AddressDecision =>
  LOOPBACK.check(ipv4) ? { allowed: false, reason: 'special' } : check(ipv4, rules);

/** What kind of address this is, independent of what an operator configures. */
export function classify(ip: string): AddressClass {
  const address = normalized(ip);
  if (address === undefined) return 'not_an_address';
  const translated = translationOf(address, [WELL_KNOWN]);
  if (translated === undefined) return classified(address);
  return LOOPBACK.check(translated) ? 'special' : classify(translated);
}

const translationOf = (address: Address, nat64: readonly Nat64Prefix[]): string | undefined =>
  address.family === 'ipv6' ? translatedIPv4(address.bytes, nat64) : undefined;

/** No destination; what the layouts that do not apply mostly read. */
const THIS_NETWORK = blockList(['0.0.0.0/8']);

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

/** IPv4 also if it was mapped into IPv6. */
type Address = { family: 'ipv4'; text: string } | { family: 'ipv6'; text: string; bytes: Bytes };

function classified(address: Address): AddressClass {
  if (isMetadata(address)) return 'metadata';
  if (isIn(LOOPBACK, address)) return 'loopback';
  if (isIn(PRIVATE, address)) return 'private';
  return isPublic(address) ? 'public' : 'special';
}

function isMetadata(address: Address): boolean {
  if (isIn(METADATA, address)) return true;
  if (address.family === 'ipv4') return false;
  return embeddedIPv4(address.bytes).some(({ text }) => METADATA.check(text, 'ipv4'));
}

function isPublic(address: Address): boolean {
  if (address.family === 'ipv4') return !isIn(SPECIAL_IPV4, address);
  return (
    isIn(GLOBAL_UNICAST_IPV6, address) && !isIn(SPECIAL_IPV6, address) && !isIsatap(address.bytes)
  );
}

function normalized(ip: string): Address | undefined {
  const text = ip.replace(/%.*$/s, '');
  if (isIP(text) === 0) return undefined;
  if (isIPv4(text)) return { family: 'ipv4', text };
  const bytes = bytesOf(text);
  const mapped = mappedIPv4(bytes);
  return mapped === undefined ? { family: 'ipv6', text, bytes } : { family: 'ipv4', text: mapped };
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
