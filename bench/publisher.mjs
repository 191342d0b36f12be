/**
 * One keep-alive connection that publishes stamped events, one at a time: `POST /api/v1/events` over
 * a bare socket, from bytes that are the same every time but for their digits, because a load
 * generator that spends as much as the product would measure itself.
 */
import { connect } from 'node:net';
import { MessageParser } from './message-parser.mjs';
import { groupOf } from './receipts.mjs';
import { findStamp, stampedData, writeStamp } from './stamp.mjs';

const ACCEPTED = 'HTTP/1.1 202';
const TYPE = '"type":"';

/**
 * The type of the events that go to one group of webhooks.
 * @param {number} fanOut
 * @param {number} group
 */
export const eventType = (fanOut, group) => `bench.fan${twoDigits(fanOut)}.${twoDigits(group)}`;

/** @param {number} number */
const twoDigits = (number) => String(number).padStart(2, '0');

/** @typedef {{ port: number; token: string; fanOut: number; dataBytes: number }} Target */

export class Publisher {
  #fanOut;
  #request;
  #groupAt;
  #stampAt;
  #isBusy = false;
  #isClosed = false;
  /** @type {import('node:net').Socket | undefined} */
  #socket;
  #port;
  #onAnswer;

  /** When the event in flight was due, in microseconds. */
  sentAtUs = 0;
  sequence = 0;

  /**
   * @param {Target} target
   * @param {(publisher: Publisher, isAccepted: boolean, answer: string) => void} onAnswer told once per event
   */
  constructor({ port, token, fanOut, dataBytes }, onAnswer) {
    this.#port = port;
    this.#fanOut = fanOut;
    this.#onAnswer = onAnswer;
    const type = eventType(fanOut, 0);
    const body = `{${TYPE}${type}","data":${stampedData(dataBytes)}}`;
    const head = [
      'POST /api/v1/events HTTP/1.1',
      `host: 127.0.0.1:${port}`,
      `authorization: Bearer ${token}`,
      'content-type: application/json',
      `content-length: ${body.length}`,
    ];
    this.#request = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'latin1');
    this.#groupAt = this.#request.indexOf(TYPE) + TYPE.length + type.length - 2;
    this.#stampAt = findStamp(this.#request);
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
    this.#request.write(twoDigits(groupOf(sequence, this.#fanOut)), this.#groupAt, 'latin1');
    writeStamp(this.#request, this.#stampAt, sentAtUs, sequence);
    this.#socket ??= this.#open();
    this.#socket.write(this.#request);
  }

  close() {
    this.#isClosed = true;
    this.#socket?.destroy();
  }

  #open() {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
    const parser = new MessageParser((buffer, start, _body, end) => {
      const isAccepted = buffer.toString('latin1', start, start + ACCEPTED.length) === ACCEPTED;
      this.#answered(isAccepted, isAccepted ? '' : buffer.toString('latin1', start, end));
    });
    socket.on('data', (chunk) => parser.push(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      this.#answered(false, 'the connection was closed');
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
