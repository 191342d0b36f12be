/**
 * Parses HTTP/1.1 responses to POST (RFC 9112), however the bytes are split. Strict: it rejects what
 * two parsers could read differently (both framings, a length twice, a bare line feed). Empty lines
 * before a status line are skipped, and folded fields are joined, as the RFC asks.
 *
 * Made for very many short responses: one that arrives in a single piece is parsed with a few string
 * searches of the engine, not byte by byte.
 */

/** Receives a response as it is parsed; each call may be the last. */
export interface ResponseSink {
  /** A response of status 1xx (RFC 9110, 15.2); the final one follows. */
  onInformational(): void;
  /** Once per response. @param retryAfter the first `Retry-After`, as sent */
  onHead(statusCode: number, retryAfter: string | undefined): void;
  /** A part of the body, without framing. Shares its memory with the bytes that were fed. */
  onBody(chunk: Buffer): void;
}

export type Progress = 'incomplete' | 'complete' | 'broken';

/** Limit for status line and headers together. */
export const MAX_HEAD_BYTES = 16 * 1024;

type State =
  /** Status line and headers. */
  | 'head'
  /** Data up to its announced length; up to the end of a chunk; until the server ends. */
  | 'sized'
  | 'chunk'
  | 'until_end'
  /** Lines around chunks (RFC 9112, 7.1). */
  | 'chunk_size'
  | 'chunk_end'
  | 'trailer'
  | 'trailer_more'
  | 'complete';

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n/;
const FIELD_LINES = /^(?:[!#$%&'*+\-.^_`|~\dA-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;
/** A field that goes on in the next line, which begins with white space (RFC 9112, 5.2). */
const FOLD = /\r\n[\t ]+/g;
const FOLDED_LINE = /^[\t ][\t\x20-\x7e\x80-\xff]*\r\n$/;
const BEGINNING = 'HTTP/1.';
const END_OF_LINE = '\r\n';
const END_OF_HEAD = '\r\n\r\n';
/** Bytes of empty lines before a status line. */
const MAX_BLANK_BYTES = 256;

const LENGTH = /^\d{1,15}$/;
const ENDS_CHUNKED = /(?:^|,)[\t ]*chunked$/i;
const CLOSES = /(?:^|,)[\t ]*close[\t ]*(?:$|,)/i;
const IDLE_SECONDS = /(?:^|[,\t ])timeout=(\d{1,9})(?:$|[,\t ])/i;
/** With extensions as RFC 9112, 7.1.1 has them; some servers pad the size with spaces. */
const CHUNK_SIZE =
  /^([\da-f]{1,12})(?:[\t ]*;[\t ]*[!#$%&'*+\-.^_`|~\da-z]+(?:[\t ]*=[\t ]*(?:[!#$%&'*+\-.^_`|~\da-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*[\t ]*\r\n$/i;

/** Enough for the shortest chunks of the longest body that is read. */
const MAX_FRAMING_BYTES = 128 * 1024;

const TAB = 9;
const LINE_FEED = 10;
const SPACE = 32;

export class ResponseParser {
  /** After `complete`: whether the connection can carry another request. */
  isPersistent = false;
  /** How long the server keeps an idle connection, if announced (`Keep-Alive: timeout=5`). */
  idleSeconds: number | undefined;
  /** Whether a byte of a response has arrived; an empty line before it is none. */
  hasBegun = false;

  private state: State = 'head';
  /** Bytes of the current body or chunk that have not arrived yet. */
  private remaining = 0;
  /** The start of a head, and of a line between chunks, whose end has not arrived yet. */
  private partialHead = '';
  private partialLine = '';
  private blankBytes = 0;
  private framingLeft = MAX_FRAMING_BYTES;

  // Fields of the current head.
  private length: number | undefined;
  private codings: string | undefined;
  private retryAfter: string | undefined;

  constructor(private readonly sink: ResponseSink) {}

  /** Parses the next bytes. Must not be called after `complete` or `broken`. */
  feed(bytes: Buffer): Progress {
    let at = 0;
    while (this.state !== 'complete') {
      if (at >= bytes.length) return 'incomplete';
      at = this.parse(bytes, at);
      if (at < 0) return 'broken';
    }
    // Bytes that no request asked for could be taken for the next response.
    if (at < bytes.length) this.isPersistent = false;
    return 'complete';
  }

  /** The server sends no more. */
  end(): Progress {
    return this.state === 'until_end' ? 'complete' : 'broken';
  }

  /** @returns the index of the next unparsed byte, or -1 for a malformed response */
  private parse(bytes: Buffer, at: number): number {
    switch (this.state) {
      case 'head':
        return this.parseHead(bytes, at);
      case 'sized':
      case 'chunk':
        return this.parseData(bytes, at);
      case 'until_end':
        this.sink.onBody(bytes.subarray(at));
        return bytes.length;
      default:
        return this.parseLine(bytes, at);
    }
  }

  private parseHead(bytes: Buffer, at: number): number {
    const before = this.partialHead;
    const text = before + bytes.toString('latin1', at, at + MAX_HEAD_BYTES - before.length);
    if (text.startsWith(END_OF_LINE)) return this.skipBlank(at - before.length);
    const end = text.indexOf(END_OF_HEAD, Math.max(0, before.length - END_OF_HEAD.length + 1));
    if (text !== '\r') this.hasBegun = true;
    if (end >= 0) {
      this.partialHead = '';
      const isAccepted = this.acceptHead(text.slice(0, end + 2));
      return isAccepted ? at + end + END_OF_HEAD.length - before.length : -1;
    }
    if (text.length >= MAX_HEAD_BYTES || !couldBegin(text)) return -1;
    this.partialHead = text;
    return bytes.length;
  }

  /** @param at where the empty line begins, possibly in the bytes before */
  private skipBlank(at: number): number {
    this.partialHead = '';
    this.blankBytes += END_OF_LINE.length;
    return this.blankBytes > MAX_BLANK_BYTES ? -1 : at + END_OF_LINE.length;
  }

  /** @param head includes the line end of its last line */
  private acceptHead(head: string): boolean {
    const [statusLine, minor, status] = STATUS_LINE.exec(head) ?? [];
    if (statusLine === undefined) return false;
    const fields = fieldLines(head.slice(statusLine.length));
    if (fields === undefined) return false;
    const statusCode = Number(status);
    // No request offers an upgrade.
    if (statusCode === 101) return false;
    this.isPersistent = minor === '1';
    this.idleSeconds = this.length = this.codings = this.retryAfter = undefined;
    if (!this.readFields(fields)) return false;
    if (statusCode < 200) {
      this.sink.onInformational();
      return true;
    }
    if (!this.chooseFraming(statusCode)) return false;
    this.sink.onHead(statusCode, this.retryAfter);
    return true;
  }

  private readFields(fields: string): boolean {
    for (let at = 0; at < fields.length;) {
      const end = fields.indexOf(END_OF_LINE, at);
      const colon = fields.indexOf(':', at);
      // Only names of these lengths are of interest.
      const length = colon - at;
      if (length === 10 || length === 11 || length === 14 || length === 17) {
        const name = fields.slice(at, colon).toLowerCase();
        if (!this.readField(name, trimmed(fields, colon + 1, end))) return false;
      }
      at = end + 2;
    }
    return true;
  }

  private readField(name: string, value: string): boolean {
    switch (name) {
      case 'content-length':
        if (this.length !== undefined || !LENGTH.test(value)) return false;
        this.length = Number(value);
        break;
      case 'transfer-encoding':
        // An empty line adds nothing to the list (RFC 9110, 5.6.1).
        if (!this.codings) this.codings = value;
        else if (value !== '') this.codings += `,${value}`;
        break;
      case 'connection':
        if (CLOSES.test(value)) this.isPersistent = false;
        break;
      case 'keep-alive': {
        const seconds = IDLE_SECONDS.exec(value)?.[1];
        if (seconds !== undefined) this.idleSeconds = Number(seconds);
        break;
      }
      case 'retry-after':
        this.retryAfter ??= value;
    }
    return true;
  }

  /** How the end of the body is found (RFC 9112, 6.3). */
  private chooseFraming(statusCode: number): boolean {
    const { codings, length } = this;
    if (codings !== undefined && length !== undefined) return false;
    if (statusCode === 204 || statusCode === 304 || length === 0) {
      this.state = 'complete';
    } else if (length !== undefined) {
      this.state = 'sized';
      this.remaining = length;
    } else if (codings !== undefined && ENDS_CHUNKED.test(codings)) {
      this.state = 'chunk_size';
    } else {
      this.state = 'until_end';
      this.isPersistent = false;
    }
    return true;
  }

  private parseData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.remaining);
    this.remaining -= end - at;
    if (this.remaining === 0) this.state = this.state === 'sized' ? 'complete' : 'chunk_end';
    this.sink.onBody(bytes.subarray(at, end));
    return end;
  }

  private parseLine(bytes: Buffer, at: number): number {
    const feed = bytes.indexOf(LINE_FEED, at);
    const end = feed < 0 ? bytes.length : feed + 1;
    this.framingLeft -= end - at;
    if (this.framingLeft < 0) return -1;
    const line = this.partialLine + bytes.toString('latin1', at, end);
    this.partialLine = feed < 0 ? line : '';
    return feed < 0 || this.acceptLine(line) ? end : -1;
  }

  private acceptLine(line: string): boolean {
    const isEmpty = line === END_OF_LINE;
    if (this.state === 'chunk_end') {
      this.state = 'chunk_size';
      return isEmpty;
    }
    if (this.state === 'trailer' || this.state === 'trailer_more') {
      const mayBeFolded = this.state === 'trailer_more';
      this.state = isEmpty ? 'complete' : 'trailer_more';
      return isEmpty || FIELD_LINES.test(line) || (mayBeFolded && FOLDED_LINE.test(line));
    }
    const size = CHUNK_SIZE.exec(line)?.[1];
    if (size === undefined) return false;
    this.remaining = parseInt(size, 16);
    this.state = this.remaining > 0 ? 'chunk' : 'trailer';
    return true;
  }
}

const couldBegin = (text: string): boolean =>
  text.startsWith(BEGINNING) || BEGINNING.startsWith(text) || text === '\r';

/** Field lines, joined where they are folded; undefined when they are malformed. */
function fieldLines(lines: string): string | undefined {
  if (FIELD_LINES.test(lines)) return lines;
  const joined = lines.replace(FOLD, ' ');
  return FIELD_LINES.test(joined) ? joined : undefined;
}

/** A value without the white space around it: spaces and tabs, and no other (RFC 9110, 5.6.3). */
function trimmed(text: string, start: number, end: number): string {
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

const isBlank = (code: number): boolean => code === SPACE || code === TAB;
