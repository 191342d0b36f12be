/**
 * Reads HTTP/1.1 responses to POST from bytes, in whatever pieces they come (RFC 9112). Strict: what
 * two parsers could read differently (both framings, a length twice, a bare line feed) is no response.
 *
 * Made for very many short answers: what comes in one piece is read with a few searches of the
 * engine, not byte by byte.
 */

/** Told of a response as it comes in; each call may be the last. */
export interface ResponseSink {
  /** One of status 1xx (RFC 9110, 15.2); the final one is still to come. */
  onInformational(): void;
  /** Once per response. @param retryAfter the first `Retry-After`, as sent */
  onHead(statusCode: number, retryAfter: string | undefined): void;
  /** A piece of the body, without framing. Shares its memory with what was fed. */
  onBody(piece: Buffer): void;
}

export type Progress = 'incomplete' | 'complete' | 'broken';

/** Of status line and headers together. */
export const MAX_HEAD_BYTES = 16 * 1024;

type State =
  /** Status line and headers. */
  | 'head'
  /** Data until its announced length; until the end of a chunk; until the server ends. */
  | 'sized'
  | 'chunk'
  | 'until_end'
  /** Lines around chunks (RFC 9112, 7.1). */
  | 'chunk_size'
  | 'chunk_end'
  | 'trailer'
  | 'complete';

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n/;
const FIELD_LINES = /^(?:[!#$%&'*+\-.^_`|~\dA-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;
const BEGINNING = 'HTTP/1.';
const END_OF_HEAD = '\r\n\r\n';

const LENGTH = /^\d{1,15}$/;
const ENDS_CHUNKED = /(?:^|[,\s])chunked$/i;
const CLOSES = /(?:^|[,\s])close(?:$|[,\s])/i;
const IDLE_SECONDS = /(?:^|[,\s])timeout=(\d{1,9})(?:$|[,\s])/i;
const CHUNK_SIZE = /^([\da-f]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/i;

/** As many as the shortest chunks of the longest body that anybody reads need. */
const MAX_FRAMING_BYTES = 128 * 1024;

const LINE_FEED = 10;

export class ResponseParser {
  /** Of a complete response: whether its connection can carry another request. */
  isPersistent = false;
  /** For how long the server keeps an idle connection, if it says so (`Keep-Alive: timeout=5`). */
  idleSeconds: number | undefined;

  private state: State = 'head';
  /** Of the data that is being read, bytes that are still to come. */
  private remaining = 0;
  /** The beginning of a head, and of a line between chunks, whose end is still to come. */
  private partialHead = '';
  private partialLine = '';
  private framingLeft = MAX_FRAMING_BYTES;

  // What the fields of the present head say.
  private length: number | undefined;
  private codings: string | undefined;
  private retryAfter: string | undefined;

  constructor(private readonly sink: ResponseSink) {}

  /** Takes what has come in. After `complete` and `broken` there is nothing more to be fed. */
  feed(bytes: Buffer): Progress {
    let at = 0;
    while (this.state !== 'complete') {
      if (at >= bytes.length) return 'incomplete';
      at = this.take(bytes, at);
      if (at < 0) return 'broken';
    }
    // What nobody has asked for could be taken for the next answer.
    if (at < bytes.length) this.isPersistent = false;
    return 'complete';
  }

  /** The server sends no more. */
  end(): Progress {
    return this.state === 'until_end' ? 'complete' : 'broken';
  }

  /** @returns where to go on, or -1 if this is no response */
  private take(bytes: Buffer, at: number): number {
    switch (this.state) {
      case 'head':
        return this.takeHead(bytes, at);
      case 'sized':
      case 'chunk':
        return this.takeData(bytes, at);
      case 'until_end':
        this.sink.onBody(bytes.subarray(at));
        return bytes.length;
      default:
        return this.takeLine(bytes, at);
    }
  }

  private takeHead(bytes: Buffer, at: number): number {
    const before = this.partialHead;
    const text = before + bytes.toString('latin1', at, at + MAX_HEAD_BYTES - before.length);
    const end = text.indexOf(END_OF_HEAD, Math.max(0, before.length - END_OF_HEAD.length + 1));
    if (end >= 0) {
      this.partialHead = '';
      const isGood = this.interpret(text.slice(0, end + 2));
      return isGood ? at + end + END_OF_HEAD.length - before.length : -1;
    }
    if (text.length >= MAX_HEAD_BYTES || !couldBegin(text)) return -1;
    this.partialHead = text;
    return bytes.length;
  }

  /** @param head with the end of its last line */
  private interpret(head: string): boolean {
    const [statusLine, minor, status] = STATUS_LINE.exec(head) ?? [];
    if (statusLine === undefined || !FIELD_LINES.test(head.slice(statusLine.length))) return false;
    const statusCode = Number(status);
    // Nobody asked for another protocol.
    if (statusCode === 101) return false;
    this.isPersistent = minor === '1';
    this.idleSeconds = this.length = this.codings = this.retryAfter = undefined;
    if (!this.readFields(head, statusLine.length)) return false;
    if (statusCode < 200) {
      this.sink.onInformational();
      return true;
    }
    if (!this.chooseFraming(statusCode)) return false;
    this.sink.onHead(statusCode, this.retryAfter);
    return true;
  }

  private readFields(head: string, start: number): boolean {
    for (let at = start; at < head.length;) {
      const end = head.indexOf('\r\n', at);
      const colon = head.indexOf(':', at);
      // Only names of these lengths mean anything here.
      const length = colon - at;
      if (length === 10 || length === 11 || length === 14 || length === 17) {
        const name = head.slice(at, colon).toLowerCase();
        if (!this.readField(name, head.slice(colon + 1, end).trim())) return false;
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
        this.codings = this.codings === undefined ? value : `${this.codings},${value}`;
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

  private takeData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.remaining);
    this.remaining -= end - at;
    if (this.remaining === 0) this.state = this.state === 'sized' ? 'complete' : 'chunk_end';
    this.sink.onBody(bytes.subarray(at, end));
    return end;
  }

  private takeLine(bytes: Buffer, at: number): number {
    const feed = bytes.indexOf(LINE_FEED, at);
    const end = feed < 0 ? bytes.length : feed + 1;
    this.framingLeft -= end - at;
    if (this.framingLeft < 0) return -1;
    const line = this.partialLine + bytes.toString('latin1', at, end);
    this.partialLine = feed < 0 ? line : '';
    return feed < 0 || this.acceptLine(line) ? end : -1;
  }

  private acceptLine(line: string): boolean {
    const isEmpty = line === '\r\n';
    if (this.state === 'chunk_end') {
      this.state = 'chunk_size';
      return isEmpty;
    }
    if (this.state === 'trailer') {
      if (isEmpty) this.state = 'complete';
      return isEmpty || FIELD_LINES.test(line);
    }
    const size = CHUNK_SIZE.exec(line)?.[1];
    if (size === undefined) return false;
    this.remaining = parseInt(size, 16);
    this.state = this.remaining > 0 ? 'chunk' : 'trailer';
    return true;
  }
}

const couldBegin = (text: string): boolean =>
  text.startsWith(BEGINNING) || BEGINNING.startsWith(text);
