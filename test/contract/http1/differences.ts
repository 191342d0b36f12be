/**
 * Where our parser and llhttp, in undici or in Node, read a response differently, and why. Every
 * difference in the samples names one of these.
 */
export interface Difference {
  why: string;
  /**
   * Whether a response is of this kind. Outside of these kinds, what our parser accepts is accepted by
   * the others with the same result, and the other way round.
   */
  matches?: (response: string) => boolean;
}

const like = (pattern: RegExp) => (response: string) => pattern.test(response);

/** Where a head can begin, and the rest of it. */
const START = '(?:^|\\r\\n\\r\\n)[\\r\\n]*';
const INTERIM = `${START}HTTP/1\\.`;
const INTERIM_FIELDS = '(?:(?!\\r\\n\\r\\n)[^])*';
const has = (field: string, response: string): boolean =>
  new RegExp(`\\r\\n${field}:`, 'i').test(response);

/** What we reject, and they accept. */
export const STRICTER = {
  reason: {
    why: 'RFC 9112, 4: a reason phrase has no control characters.',
    matches: like(
      new RegExp(`${INTERIM}[01] \\d{3} [^\\r\\n]*[\\0-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]`),
    ),
  },
  status: {
    why: 'RFC 9110, 15: the first digit of a status is not 0.',
    matches: like(new RegExp(`${INTERIM}[01] 0`)),
  },
  version: {
    why: 'A request of HTTP/1.1 is answered by HTTP/1.1 or 1.0 (RFC 9110, 6.2).',
    matches: like(new RegExp(`${START}(?:HTTP/(?!1\\.[01])|RTSP|ICE)`)),
  },
  emptyLines: {
    why: 'We skip at most 128 empty lines before a status line; they skip any number.',
    matches: (response) => response.startsWith('\r\n'.repeat(129)),
  },
  bareLineEnd: {
    why: 'Lines end with CR LF; llhttp skips either alone before a status line, and a second CR.',
    matches: like(/(?:^|\r\n\r\n)(?=[\r\n]*HTTP\/)(?!(?:\r\n)*HTTP\/)|\r\r/),
  },
  headSize: {
    why: 'We limit the whole head to 16 KiB; they count only parts of it.',
    matches: ({ length }) => length > 16_000,
  },
  emptyCoding: {
    why: 'We reject both framings in either order, also if one of them is empty.',
    matches: (response) => has('content-length', response) && has('transfer-encoding', response),
  },
  lengthDigits: {
    why: 'We take at most 15 digits of a length, all of which a number holds exactly.',
    matches: like(/\r\ncontent-length:[^\r\n]*\d{16}/i),
  },
  chunkDigits: {
    why: 'We take at most 12 digits of a chunk size.',
    matches: like(/\r\n[\da-f]{13,}(?:\r\n|;)/i),
  },
  framingSize: {
    why: 'We limit the lines between chunks to 128 KiB together; Node to 16 KiB, undici not.',
    matches: ({ length }) => length > 16_000,
  },
  upgrade: {
    why: 'We never ask for another protocol, so 101 is no answer (RFC 9110, 15.2.2).',
    matches: like(new RegExp(`${INTERIM}[01] 101`)),
  },
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
} satisfies Record<string, Difference>;

const EXTENSION = `;[!#$%&'*+\\-.^_\`|~\\w]+(?:=(?:[!#$%&'*+\\-.^_\`|~\\w]+|"(?:[^"\\\\]|\\\\.)*"))?`;

/** What we accept, and at least one of them rejects or reads differently. */
export const MORE_LENIENT = {
  folded: {
    why: 'RFC 9112, 5.2: a client must read a folded field as one line; llhttp rejects it.',
    matches: like(
      new RegExp(
        `${INTERIM}[01] ${INTERIM_FIELDS}\\r\\n[\\t ]|\\r\\n0+[^\\r\\n]*\\r\\n(?:[^\\r\\n]+\\r\\n)+[\\t ]`,
      ),
    ),
  },
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
      new RegExp(`${INTERIM}[01] (?:204|304)${INTERIM_FIELDS}content-length:[\\t ]*0*[1-9]`, 'i'),
    ),
  },
  lengthSpace: {
    why: 'RFC 9110, 5.6.3: a tab may surround a value; llhttp takes spaces only.',
    matches: like(/\r\ncontent-length:[^\r\n]*\t/i),
  },
  codingTab: {
    why: 'llhttp does not find chunked before a tab; RFC 9110, 5.6.3: a tab may follow a value.',
    matches: like(/\r\ntransfer-encoding:[^\r\n]*chunked *\t[\t ]*\r\n/i),
  },
  chunkSpace: {
    why: 'RFC 9112, 7.1.1: white space may be in extensions; and after a size, since some servers pad it.',
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
