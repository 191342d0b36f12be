import { isIPv6 } from 'node:net';

const IPV4_MAPPED = /^::ffff:(?=\d+\.)/i;
/** What a site gets at least (RFC 6177): one client can use every address in it. */
const NETWORK_GROUPS = 4;

/** An address without zone, and an IPv4 one in its own form, also if a dual-stack socket shows it in IPv6. */
export const plainAddress = (address: string): string =>
  address.replace(IPV4_MAPPED, '').replace(/%.*$/s, '');

/**
 * What limits per address count by: an IPv4 address, also if the socket shows it in its IPv6 form, or
 * the /64 of an IPv6 address.
 */
export function clientNetwork(address: string): string {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
  const [head = '', tail = ''] = new URL(`http://[${plain}]`).hostname.slice(1, -1).split('::');
  const [before, after] = [head, tail].map((part) => part.split(':').filter(Boolean));
  const zeros = Array.from({ length: 8 - before!.length - after!.length }, () => '0');
  return `${[...before!, ...zeros, ...after!].slice(0, NETWORK_GROUPS).join(':')}::/64`;
}
