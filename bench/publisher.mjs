/**
 * One keep-alive connection that publishes stamped events, one request at a time, over a bare socket.
 * The bytes of a request are reused, and only the digits of the stamp are written anew: a load
 * generator that needs as much CPU as the server would measure itself.
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
 * @property {Required<import('./adapter.mjs').Publication> & { type: string; events: number }} publication
 *   `type` is that of group 0, whose two digits are overwritten wherever the type occurs; `events` is
 *   the number of events in one request
 * @property {number} fanOut
 */

export class Publisher {
  #fanOut;
  #address;
  #request;
  /** Of each event in the request. @type {{ groupsAt: number[]; stampAt: number }[]} */
  #positions;
  #isBusy = false;
  #isClosed = false;
  /** @type {import('node:net').Socket | undefined} */
  #socket;
  #onAnswer;

  /** When the request in flight was due, in microseconds. */
  sentAtUs = 0;
  /** The number of its first event. */
  sequence = 0;

  /**
   * @param {Address} address
   * @param {Target} target
   * @param {(publisher: Publisher, isAccepted: boolean, answer: string) => void} onAnswer called once per request
   */
  constructor(address, { publication, fanOut }, onAnswer) {
    this.#address = address;
    this.#fanOut = fanOut;
    this.#onAnswer = onAnswer;
    const { head, body } = requestOf(publication, address);
    this.#request = Buffer.from(head + body);
    this.#positions = positionsOf(this.#request, Buffer.byteLength(head), publication);
  }

  /**
   * Sends the next request. Only allowed after the answer to the last one: both use the same buffer.
   * @param {number} sequence of its first event; the others follow
   * @param {number} sentAtUs
   */
  publish(sequence, sentAtUs) {
    this.#isBusy = true;
    this.sequence = sequence;
    this.sentAtUs = sentAtUs;
    for (const [index, { groupsAt, stampAt }] of this.#positions.entries()) {
      const group = twoDigits(groupOf(sequence + index, this.#fanOut));
      for (const at of groupsAt) this.#request.write(group, at, 'latin1');
      writeStamp(this.#request, stampAt, sentAtUs, sequence + index);
    }
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
 * The positions of each event's stamp, and of the last two digits of its type wherever it occurs.
 * @param {Buffer} request
 * @param {number} bodyAt
 * @param {{ type: string; events: number }} publication
 */
function positionsOf(request, bodyAt, { type, events }) {
  const stampsAt = all(bodyAt, (from) => findStamp(request, from));
  const groupsAt = all(0, (from) => request.indexOf(type, from)).map((at) => at + type.length - 2);
  if (stampsAt.length !== events)
    throw new Error('The adapter publishes without the data it is given');
  const types = groupsAt.length / events;
  if (types < 1 || !Number.isInteger(types))
    throw new Error('The adapter publishes without the type it is given');
  return stampsAt.map((stampAt, index) => ({
    stampAt,
    groupsAt: groupsAt.slice(index * types, (index + 1) * types),
  }));
}

/**
 * @param {number} from
 * @param {(from: number) => number} find
 */
function all(from, find) {
  const found = [];
  for (let at = find(from); at >= 0; at = find(at + 1)) found.push(at);
  return found;
}
