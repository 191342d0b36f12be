import type { OutboundRequest } from './pending-request.client.js';

/** What a field can hold (RFC 9110, 5.5), without bytes that some receivers would read as UTF-8. */
const VALUE = /^[\t\x20-\x7e]*$/;
const NAME = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
/** As a parsed URL gives it. */
const PATH = /^\/[\x21-\x7e]*$/;

/**
 * Request line and headers of a POST over a connection that is to be kept (RFC 9112). Nothing is ever
 * inflated, so a compressed answer would be stored as noise.
 *
 * @param host with the port, if it is not the one of the scheme
 * @param bytes of the body
 * @returns undefined for a header or path that cannot be sent without being something else
 */
export function requestHead(
  { url, headers }: Pick<OutboundRequest, 'url' | 'headers'>,
  host: string,
  bytes: number,
): string | undefined {
  if (!PATH.test(url.path)) return undefined;
  let head = `POST ${url.path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    const value = headers[index + 1]!;
    if (!NAME.test(name) || !VALUE.test(value)) return undefined;
    head += `${name}: ${value}\r\n`;
  }
  return `${head}accept-encoding: identity\r\ncontent-length: ${bytes}\r\n\r\n`;
}
