/**
 * Finds the HTTP/1.1 messages in the bytes of one connection: a piece of bytes may contain several
 * messages, and a message may come in many pieces. Supports the blank line after the head,
 * `content-length`, and chunked bodies (RFC 9112, 7.1); throws for other transfer codings. The same
 * parser reads requests and answers.
 */
const END_OF_HEAD = '\r\n\r\n';
const CONTENT_LENGTH = /\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n/i;
const TRANSFER_ENCODING = /\r\ntransfer-encoding:[ \t]*([^\r]*)\r\n/i;
const END_OF_LINE = '\r\n';
const MAX_HEAD_BYTES = 64 * 1024;

/**
 * A message in a buffer: head from `start` to `body`, body from `body` to `end`. The buffer is
 * reused by its owner once the call returns.
 * @callback OnMessage
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} body
 * @param {number} end
 * @returns {void}
 */

export class MessageParser {
  /** @type {Buffer[]} */
  #kept = [];
  #keptBytes = 0;
  /** The number of bytes that the incomplete message needs at least. */
  #wantedBytes = 0;
  #onMessage;

  /** @param {OnMessage} onMessage */
  constructor(onMessage) {
    this.#onMessage = onMessage;
  }

  /**
   * @param {Buffer} chunk
   * @throws {Error} if the bytes are not supported HTTP
   */
  push(chunk) {
    this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    if (this.#keptBytes < this.#wantedBytes) return;
    const buffer = this.#kept.length === 1 ? chunk : Buffer.concat(this.#kept);
    const rest = this.#parse(buffer);
    this.#kept = rest < buffer.length ? [buffer.subarray(rest)] : [];
    this.#keptBytes = buffer.length - rest;
  }

  /**
   * @param {Buffer} buffer
   * @returns {number} where the first incomplete message starts
   */
  #parse(buffer) {
    let start = 0;
    while (start < buffer.length) {
      const endOfHead = buffer.indexOf(END_OF_HEAD, start, 'latin1');
      if (endOfHead < 0) {
        if (buffer.length - start > MAX_HEAD_BYTES) throw new Error('The head has no end');
        this.#wantedBytes = 0;
        return start;
      }
      const body = endOfHead + END_OF_HEAD.length;
      const length = bodyLength(buffer.toString('latin1', start, endOfHead + 2));
      if (length === undefined) {
        const rest = this.#takeChunked(buffer, start, body);
        if (rest === undefined) return start;
        start = rest;
        continue;
      }
      const end = body + length;
      if (end > buffer.length) {
        this.#wantedBytes = end - start;
        return start;
      }
      this.#onMessage(buffer, start, body, end);
      start = end;
    }
    this.#wantedBytes = 0;
    return start;
  }

  /**
   * A message with a chunked body, passed on with its body in one piece.
   * @param {Buffer} buffer
   * @param {number} start
   * @param {number} body
   * @returns {number | undefined} where it ends; undefined when it has not arrived
   */
  #takeChunked(buffer, start, body) {
    this.#wantedBytes = 0;
    const chunks = chunksFrom(buffer, body);
    if (!chunks) return undefined;
    const message = Buffer.concat([buffer.subarray(start, body), ...chunks.parts]);
    this.#onMessage(message, 0, body - start, message.length);
    return chunks.end;
  }
}

/**
 * @param {string} head
 * @returns {number | undefined} undefined: the body is chunked
 */
function bodyLength(head) {
  const [, encoding] = TRANSFER_ENCODING.exec(head) ?? [];
  if (encoding?.trim().toLowerCase() === 'chunked') return undefined;
  if (encoding !== undefined) throw new Error(`A body that is encoded as ${encoding}`);
  return Number(CONTENT_LENGTH.exec(head)?.[1] ?? 0);
}

/**
 * @param {Buffer} buffer
 * @param {number} from
 * @returns {{ parts: Buffer[]; end: number } | undefined} undefined when the last chunk has not arrived
 */
function chunksFrom(buffer, from) {
  const parts = [];
  for (let at = from; ;) {
    const endOfSize = buffer.indexOf(END_OF_LINE, at, 'latin1');
    if (endOfSize < 0) return undefined;
    const size = Number.parseInt(buffer.toString('latin1', at, endOfSize), 16);
    if (Number.isNaN(size)) throw new Error('A chunk without a size');
    const data = endOfSize + END_OF_LINE.length;
    if (size === 0) {
      const end = endOfTrailers(buffer, data);
      return end === undefined ? undefined : { parts, end };
    }
    if (data + size + END_OF_LINE.length > buffer.length) return undefined;
    parts.push(buffer.subarray(data, data + size));
    at = data + size + END_OF_LINE.length;
  }
}

/**
 * @param {Buffer} buffer
 * @param {number} from after the last chunk's size
 */
function endOfTrailers(buffer, from) {
  for (let at = from; ;) {
    const endOfLine = buffer.indexOf(END_OF_LINE, at, 'latin1');
    if (endOfLine < 0) return undefined;
    if (endOfLine === at) return at + END_OF_LINE.length;
    at = endOfLine + END_OF_LINE.length;
  }
}
