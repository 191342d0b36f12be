/**
 * What proxies say of a client: `X-Forwarded-For` and `X-Forwarded-Host`. Anyone can send these headers,
 * so they count only as far as proxies are trusted that are known to have set them.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { plainAddress } from '../shared/client-network.js';

/** The part of a request that is read. */
export interface ForwardedRequest {
  headers: IncomingHttpHeaders;
  socket: { remoteAddress?: string | undefined };
}

/** Decides whether an address is that of a proxy. @param hop 0 for the peer of the socket */
type IsTrusted = (address: string, hop: number) => boolean;

/** The proxies in front of this process, which are trusted to say for whom they forward. */
export class TrustedProxies {
  private readonly isTrusted: IsTrusted;

  /**
   * @param trusted how many proxies every request passes, or the addresses and CIDR blocks of the
   * proxies; 0 or none: no header is read
   */
  constructor(trusted: number | readonly string[]) {
    this.isTrusted = typeof trusted === 'number' ? (_, hop) => hop < trusted : isIn(trusted);
  }

  /**
   * The address of the client: from right to left, the first that is not of a trusted proxy. Everything
   * to the left of it can be made up by the client. What is no address ends the search: then the
   * client is the last proxy.
   *
   * @returns in its plain form; empty if the socket has none any more
   */
  addressOf({ headers, socket }: ForwardedRequest): string {
    let address = plainAddress(socket.remoteAddress ?? '');
    if (!this.isTrusted(address, 0)) return address;
    const forwarded = valuesOf(headers['x-forwarded-for']).reverse();
    for (const [index, value] of forwarded.entries()) {
      const next = plainAddress(withoutPort(value));
      if (isIP(next) === 0) return address;
      address = next;
      if (!this.isTrusted(address, index + 1)) return address;
    }
    return address;
  }

  /** The host that the client asked for, with its port; undefined: not known. */
  hostOf({ headers, socket }: ForwardedRequest): string | undefined {
    const [forwarded] = valuesOf(headers['x-forwarded-host']).reverse();
    const isForwarded = forwarded && this.isTrusted(plainAddress(socket.remoteAddress ?? ''), 0);
    return isForwarded ? forwarded : headers.host;
  }
}

function isIn(blocks: readonly string[]): IsTrusted {
  const list = new BlockList();
  for (const block of blocks) {
    const [address = '', bits] = block.split('/');
    const family = familyOf(address);
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => isIP(address) !== 0 && list.check(address, familyOf(address));
}

const familyOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** Node joins repeated headers with commas. */
const valuesOf = (header: string | string[] | undefined): string[] =>
  String(header ?? '')
    .split(',')
    .map((value) => value.trim())
    .filter((value) => value !== '');

/** Some load balancers add the port: `192.0.2.1:443`, `[2001:db8::1]:443`. */
function withoutPort(value: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(value) ?? [];
  return bracketed ?? plain ?? value;
}
