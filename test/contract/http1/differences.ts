/**
 * Where our parser and llhttp, in undici or in Node, read a response differently, and why. Every
 * difference in the samples names one of these.
 */
export interface Difference {
  why: string;
  /**
   * Only for what we accept and they reject or read differently: whether a response is of this kind.
   * Nothing outside these kinds may be accepted by our parser alone.
   */
  matches?: (response: string) => boolean;
}

const like = (pattern: RegExp) => (response: string) => pattern.test(response);

/** What we reject, and they accept. */
export const STRICTER = {
  reason: { why: 'RFC 9112, 4: a reason phrase has no control characters.' },
  status: { why: 'RFC 9110, 15: the first digit of a status is not 0.' },
  version: { why: 'A request of HTTP/1.1 is answered by HTTP/1.1 or 1.0 (RFC 9110, 6.2).' },
  emptyLine: {
    why: 'RFC 9112, 2.2: servers skip an empty line before a request; no rule for clients.',
  },
  headSize: { why: 'We limit the whole head to 16 KiB; they count only parts of it.' },
  emptyCoding: { why: 'We reject both framings in either order, also if one of them is empty.' },
  lengthDigits: {
    why: 'We take at most 15 digits of a length, all of which a number holds exactly.',
  },
  chunkDigits: { why: 'We take at most 12 digits of a chunk size.' },
  framingSize: {
    why: 'We limit the lines between chunks to 128 KiB together; Node to 16 KiB, undici not.',
  },
  upgrade: { why: 'We never ask for another protocol, so 101 is no answer (RFC 9110, 15.2.2).' },
} satisfies Record<string, Difference>;

/** Same response, but the connection is kept by one and closed by the other. */
export const REUSE = {
  moreBytes: {
    why: 'Bytes that follow a response belong to no request; Node finds that out later.',
  },
  http10: { why: 'We never keep a connection of HTTP/1.0, with or without keep-alive.' },
  proxyConnection: {
    why: 'llhttp treats Proxy-Connection, which is not a standard field, as Connection.',
  },
  closeAfterSpace: { why: 'We find close behind a space, too. To close is always safe.' },
} satisfies Record<string, Difference>;

const INTERIM = '(?:^|\\r\\n\\r\\n)HTTP/1\\.';
const INTERIM_FIELDS = '(?:(?!\\r\\n\\r\\n)[^])*';
const EXTENSION = `;[!#$%&'*+\\-.^_\`|~\\w]+(?:=(?:[!#$%&'*+\\-.^_\`|~\\w]+|"(?:[^"\\\\]|\\\\.)*"))?`;

/** What we accept, and at least one of them rejects or reads differently. */
export const MORE_LENIENT = {
  continue: {
    why: 'undici ends the connection at a 100; RFC 9110, 15.2: a client must be able to parse it.',
    matches: like(new RegExp(`${INTERIM}[01] 100`)),
  },
  interimClose: {
    why: 'llhttp expects no more bytes after a 1xx that closes or is of HTTP/1.0; we read on.',
    matches: like(
      new RegExp(`${INTERIM}(?:0 1|1 1\\d\\d${INTERIM_FIELDS}connection:[^\\r\\n]*close)`, 'i'),
    ),
  },
  interimFraming: {
    why: 'llhttp rejects a 1xx with both framings; we check that only where there can be a body.',
    matches: (response) =>
      new RegExp(`${INTERIM}1 1${INTERIM_FIELDS}\\r\\ntransfer-encoding:`, 'i').test(response) &&
      new RegExp(`${INTERIM}1 1${INTERIM_FIELDS}\\r\\ncontent-length:`, 'i').test(response),
  },
  emptyStatusWithLength: {
    why: 'undici misses the body that a 204 or 304 announces; RFC 9112, 6.3: there is none.',
    matches: like(
      new RegExp(
        `${INTERIM}[01] (?:204|304)${INTERIM_FIELDS}content-length:[\\s\\xa0]*0*[1-9]`,
        'i',
      ),
    ),
  },
  lengthSpace: {
    why: 'RFC 9110, 5.6.3: a tab may surround a value; we strip U+00A0 as well, which no RFC allows.',
    matches: like(/\r\ncontent-length:[^\r\n]*[\t\xa0]/i),
  },
  codingSeparator: {
    why: 'White space separates transfer codings here, and U+00A0 is white space; no RFC allows either.',
    matches: like(
      /\r\ntransfer-encoding:(?:[^\r\n]*\xa0|[^\r\n]*[^\r\n\s,][\t ]+chunked[\t ]*\r\n)/i,
    ),
  },
  codingTab: {
    why: 'llhttp does not find chunked before a tab; RFC 9110, 5.6.3: a tab may follow a value.',
    matches: like(/\r\ntransfer-encoding:[^\r\n]*chunked *\t[\t ]*\r\n/i),
  },
  emptyCodingLine: {
    why: 'An empty line after chunked hides it from us; RFC 9110, 5.6.1: it should be ignored.',
    matches: like(
      /\r\ntransfer-encoding:[^\r\n]*chunked[\t ]*\r\n(?:[^\r\n]+\r\n)*transfer-encoding:[\t ]*\r\n/i,
    ),
  },
  chunkExtension: {
    why: 'We skip what follows a chunk size unread, white space included (RFC 9112, 7.1.1).',
    matches: like(new RegExp(`\\r\\n[\\da-f]+(?=[\\t ;])(?!(?:${EXTENSION})+\\r\\n)`, 'i')),
  },
  chunkExtensionSize: {
    why: 'Node limits extensions to 16 KiB; we limit all lines between chunks to 128 KiB.',
    matches: like(/\r\n[\da-f]+;[^\r\n]{16000}/i),
  },
  trailerLength: {
    why: 'llhttp rejects Content-Length in a trailer; RFC 9110, 6.5.1: a trailer does not frame.',
    matches: like(/\r\n0+(?:[\t ;][^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*content-length:/i),
  },
} satisfies Record<string, Difference>;
