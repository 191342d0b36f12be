/**
 * The part of WebSocket (RFC 6455) that the benchmark's clients need: finds the frames of a server in
 * the bytes of a connection, whatever the pieces, and writes small text frames.
 */
const TEXT = 0x1;
const PING = 0x9;
const PONG = 0xa;
const CLOSE = 0x8;
const FINAL = 0x80;
const MASKED = 0x80;
const MASK_BYTES = 4;
const LENGTH_16 = 126;

export const OPCODES = { TEXT, PING, PONG, CLOSE };

/**
 * A payload in a buffer, from `start` to `end`. The buffer is reused once the call returns.
 * @callback OnFrame
 * @param {number} opcode
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 * @returns {void}
 */

export class FrameParser {
  /** @type {Buffer | undefined} */
  #rest;
  #onFrame;

  /** @param {OnFrame} onFrame */
  constructor(onFrame) {
    this.#onFrame = onFrame;
  }

  /** @param {Buffer} chunk may be reused by its owner afterwards */
  push(chunk) {
    const buffer = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    let start = 0;
    for (;;) {
      const body = bodyOf(buffer, start);
      if (!body || body.end > buffer.length) break;
      this.#onFrame((buffer[start] ?? 0) & 0x0f, buffer, body.start, body.end);
      start = body.end;
    }
    this.#rest = start < buffer.length ? Buffer.from(buffer.subarray(start)) : undefined;
  }
}

/**
 * @param {Buffer} buffer
 * @param {number} at where a frame begins
 * @returns {{ start: number; end: number } | undefined} undefined: its head has not arrived yet
 */
function bodyOf(buffer, at) {
  const available = buffer.length - at;
  if (available < 2) return undefined;
  const length = (buffer[at + 1] ?? 0) & 0x7f;
  if (length < LENGTH_16) return { start: at + 2, end: at + 2 + length };
  if (length === LENGTH_16) {
    if (available < 4) return undefined;
    return { start: at + 4, end: at + 4 + buffer.readUInt16BE(at + 2) };
  }
  if (available < 10) return undefined;
  return { start: at + 10, end: at + 10 + Number(buffer.readBigUInt64BE(at + 2)) };
}

/**
 * A frame of a client: masked, with a mask that changes nothing.
 * @param {number} opcode
 * @param {string} text
 */
export function clientFrame(opcode, text) {
  const body = Buffer.from(text);
  if (body.length >= 0x10000) throw new RangeError(`Too long: ${body.length} bytes`);
  const isShort = body.length < LENGTH_16;
  const head = Buffer.alloc((isShort ? 2 : 4) + MASK_BYTES);
  head[0] = FINAL | opcode;
  head[1] = MASKED | (isShort ? body.length : LENGTH_16);
  if (!isShort) head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}
