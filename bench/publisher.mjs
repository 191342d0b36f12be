/**
 * One keep-alive connection that publishes stamped events, one at a time, over a bare socket, from
 * bytes that are the same every time but for their digits, because a load generator that spends as
 * much as the server would measure itself.
 */
import { connect } from 'node:net';
import { twoDigits } from './event-types.mjs';
import { MessageParser } from './message-parser.mjs';
import { groupOf } from './receipts.mjs';
import { findStamp, writeStamp } from './stamp.mjs';

const ACCEPTED = /^HTTP\/1\.1 2\d\d/;
const STATUS_LINE_BYTES = 'HTTP/1.1 200'.length;

/** @typedef {{ host: string; port: number }} Address */
/**
 * @typedef {object} Target
 * @property {Address[]} addresses the connections are spread over them
 * @property {Required<import('./adapter.mjs').Publication> & { type: string }} publication `type` is that
 *   of group 0, whose two digits are written over wherever it stands
 * @property {number} fanOut
 */

export class Publisher {
  #fanOut;
  #address;
  #request;
  #groupsAt;
  #stampAt;
  #isBusy = false;
  #isClosed = false;
  /** @type {import('node:net').Socket | undefined} */
  #socket;
  #onAnswer;

  /** When the event in flight was due, in microseconds. */
  sentAtUs = 0;
  sequence = 0;

  /**
   * @param {Address} address
   * @param {Target} target
   * @param {(publisher: Publisher, isAccepted: boolean, answer: string) => void} onAnswer told once per event
   */
  constructor(address, { publication, fanOut }, onAnswer) {
    this.#address = address;
    this.#fanOut = fanOut;
    this.#onAnswer = onAnswer;
    const { head, body } = requestOf(publication, address);
    this.#request = Buffer.from(head + body);
    this.#groupsAt = placesOf(this.#request, publication.type);
    this.#stampAt = findStamp(this.#request, Buffer.byteLength(head));
    if (this.#stampAt < 0) throw new Error('The adapter publishes without the data it is given');
  }

  /**
   * Not before the event before it has been answered: its bytes are in the same buffer.
   * @param {number} sequence
   * @param {number} sentAtUs
   */
  publish(sequence, sentAtUs) {
    this.#isBusy = true;
    this.sequence = sequence;
    this.sentAtUs = sentAtUs;
    const group = twoDigits(groupOf(sequence, this.#fanOut));
    for (const at of this.#groupsAt) this.#request.write(group, at, 'latin1');
    writeStamp(this.#request, this.#stampAt, sentAtUs, sequence);
    this.#socket ??= this.#open();
    this.#socket.write(this.#request);
  }

  close() {
    this.#isClosed = true;
    this.#socket?.destroy();
  }

  #open() {
    const socket = connect({ ...this.#address, noDelay: true });
    const parser = new MessageParser((buffer, start, _body, end) => {
      const line = buffer.toString('latin1', start, start + STATUS_LINE_BYTES);
      const isAccepted = ACCEPTED.test(line);
      this.#answered(isAccepted, isAccepted ? '' : buffer.toString('latin1', start, end));
    });
    socket.on('data', (chunk) => {
      try {
        parser.push(chunk);
      } catch (error) {
        socket.destroy(/** @type {Error} */ (error));
      }
    });
    let reason = 'the connection was closed';
    socket.on('error', ({ message }) => (reason = message));
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      this.#answered(false, reason);
    });
    return socket;
  }

  /**
   * @param {boolean} isAccepted
   * @param {string} answer
   */
  #answered(isAccepted, answer) {
    if (!this.#isBusy || this.#isClosed) return;
    this.#isBusy = false;
    this.#onAnswer(this, isAccepted, answer);
  }
}

/**
 * @param {Target['publication']} publication
 * @param {Address} address
 */
function requestOf({ method, path, headers, body }, { host, port }) {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `host: ${host}:${port}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return { head: `${lines.join('\r\n')}\r\n\r\n`, body };
}

/**
 * Where the last two digits of a type stand, wherever it is named.
 * @param {Buffer} buffer
 * @param {string} type
 */
function placesOf(buffer, type) {
  const places = [];
  for (let at = buffer.indexOf(type); at >= 0; at = buffer.indexOf(type, at + 1)) {
    places.push(at + type.length - 2);
  }
  if (places.length === 0) throw new Error('The adapter publishes without the type it is given');
  return places;
}
