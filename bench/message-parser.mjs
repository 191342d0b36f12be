/**
 * Finds the HTTP/1.1 messages in the bytes of one connection, however those are cut into chunks:
 * several messages in one chunk, or one over many. It knows the blank line after the head and
 * `content-length`, which is all that the two sides of this benchmark use; for the rest of HTTP it
 * throws. The same for requests and answers.
 */
const END_OF_HEAD = '\r\n\r\n';
const CONTENT_LENGTH = /\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n/i;
const TRANSFER_ENCODING = /\r\ntransfer-encoding:/i;
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
  /** Bytes that have to be there before another look makes sense. */
  #wantedBytes = 0;
  #onMessage;

  /** @param {OnMessage} onMessage */
  constructor(onMessage) {
    this.#onMessage = onMessage;
  }

  /**
   * @param {Buffer} chunk
   * @throws {Error} if this is no HTTP that it knows
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
      const end = body + bodyLength(buffer.toString('latin1', start, endOfHead + 2));
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
}

/** @param {string} head */
function bodyLength(head) {
  const [, length] = CONTENT_LENGTH.exec(head) ?? [];
  if (length !== undefined) return Number(length);
  if (TRANSFER_ENCODING.test(head)) throw new Error('A body without content-length');
  return 0;
}
