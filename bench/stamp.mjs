/**
 * The stamp in the `data` of an event of the benchmark: the time of publishing and the event's number,
 * in digits of fixed width, so that they can be written into, and read from, bytes that are otherwise
 * constant. It is one string without a character that a JSON writer would escape, so a server may
 * parse the data and write it again with its members in any order.
 */
const MARK = 'bench@';
const SENT_AT_DIGITS = 16;
const SEQUENCE_DIGITS = 10;
const EMPTY = `${MARK}${'0'.repeat(SENT_AT_DIGITS)}.${'0'.repeat(SEQUENCE_DIGITS)}`;

/** Length of a stamp from the position that {@link findStamp} returns. */
const STAMP_BYTES = EMPTY.length - MARK.length;

/**
 * A `data` member with an empty stamp, whose JSON text has this number of bytes.
 * @param {number} bytes
 */
export function stampedData(bytes) {
  const data = { stamp: EMPTY, padding: '' };
  data.padding = 'x'.repeat(Math.max(bytes - JSON.stringify(data).length, 0));
  return data;
}

/**
 * The position of a complete stamp.
 * @param {Buffer} buffer
 * @param {number} [from] where to begin to look
 * @param {number} [end] where to end
 * @returns {number} -1 if there is none
 */
export function findStamp(buffer, from = 0, end = buffer.length) {
  const mark = buffer.indexOf(MARK, from, 'latin1');
  const at = mark + MARK.length;
  return mark < 0 || at + STAMP_BYTES > end ? -1 : at;
}

/**
 * @param {Buffer} buffer
 * @param {number} at from {@link findStamp}
 * @param {number} sentAtUs
 * @param {number} sequence
 */
export function writeStamp(buffer, at, sentAtUs, sequence) {
  writeDigits(buffer, at, SENT_AT_DIGITS, Math.floor(sentAtUs));
  writeDigits(buffer, sequenceAt(at), SEQUENCE_DIGITS, sequence);
}

/**
 * @param {Buffer} buffer
 * @param {number} at from {@link findStamp}
 * @returns {number} microseconds
 */
export const readSentAtUs = (buffer, at) => readDigits(buffer, at, SENT_AT_DIGITS);

/**
 * @param {Buffer} buffer
 * @param {number} at from {@link findStamp}
 */
export const readSequence = (buffer, at) => readDigits(buffer, sequenceAt(at), SEQUENCE_DIGITS);

/** @param {number} at */
const sequenceAt = (at) => at + SENT_AT_DIGITS + 1;

const ZERO = 48;

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} width
 * @param {number} value
 */
function writeDigits(buffer, at, width, value) {
  let rest = value;
  for (let index = at + width - 1; index >= at; index -= 1) {
    const next = Math.floor(rest / 10);
    buffer[index] = ZERO + rest - next * 10;
    rest = next;
  }
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} width
 */
function readDigits(buffer, at, width) {
  let value = 0;
  for (let index = at; index < at + width; index += 1) {
    value = value * 10 + (buffer[index] ?? ZERO) - ZERO;
  }
  return value;
}
