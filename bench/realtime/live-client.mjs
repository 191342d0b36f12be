/**
 * One client on a bare socket, over Socket.IO or a plain WebSocket: connects, subscribes, answers
 * heartbeats, and passes on the bytes of events. It does as little as possible, so that one process
 * can run many.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { clientFrame, FrameParser, OPCODES } from './frames.mjs';

const END_OF_HEAD = '\r\n\r\n';
/** How long a client may take to subscribe; a storm of reconnects needs that long. */
const OPEN_MS = 120_000;
/** One buffer for all sockets: each read is parsed before the next one. */
const READ_BUFFER = Buffer.allocUnsafe(256 * 1024);

/**
 * @typedef {object} Target
 * @property {'socket.io' | 'websocket'} protocol
 * @property {string} host
 * @property {number} port
 * @property {string} token
 * @property {string[]} topics
 * @property {boolean} subscribes false: the server adds all clients to its room
 * @property {string} [localAddress]
 */

/**
 * @callback OnEvent
 * @param {LiveClient} client
 * @param {Buffer} buffer
 * @param {number} start
 * @param {number} end
 * @returns {void}
 */

export class LiveClient {
  #target;
  #onEvent;
  /** @type {import('node:net').Socket | undefined} */
  #socket;
  /** @type {(answer: string) => void} */
  #onSubscribed = () => undefined;
  /** @type {string | undefined} */
  #after;
  /** Whether it is subscribed. */
  isOn = false;
  /** Connections that ended unexpectedly. */
  losses = 0;
  /** The server's last error message. */
  lastWords = '';
  /** For the code that inspects the events. @type {any} */
  state;

  /**
   * @param {Target} target
   * @param {OnEvent} onEvent
   */
  constructor(target, onEvent) {
    this.#target = target;
    this.#onEvent = onEvent;
  }

  /**
   * @param {string} [after] the event to resume after
   * @returns {Promise<string>} the acknowledgement of the subscription
   * @throws {Error} when the server refuses the connection
   */
  open(after) {
    this.#after = after;
    return new Promise((resolve, reject) => {
      const parser = new FrameParser((...frame) => this.#take(...frame));
      let head = '';
      let isUpgraded = false;
      const { host, port, localAddress } = this.#target;
      const socket = connect({
        host,
        port,
        noDelay: true,
        ...(localAddress ? { localAddress } : {}),
        onread: {
          buffer: READ_BUFFER,
          callback: (count, read) => {
            const chunk = /** @type {Buffer} */ (read).subarray(0, count);
            if (isUpgraded) parser.push(chunk);
            else {
              head += chunk.toString('latin1');
              const end = head.indexOf(END_OF_HEAD);
              if (end < 0) return true;
              if (!head.startsWith('HTTP/1.1 101')) socket.destroy(new Error(head));
              isUpgraded = true;
              this.#upgraded();
              parser.push(Buffer.from(head.slice(end + END_OF_HEAD.length), 'latin1'));
            }
            return true;
          },
        },
      });
      this.#socket = socket;
      const killTimer = setTimeout(() => {
        socket.destroy(
          new Error(`not subscribed after ${OPEN_MS} ms, ${socket.readyState}: ${head}`),
        );
      }, OPEN_MS);
      socket.once('close', () => clearTimeout(killTimer));
      this.#onSubscribed = (answer) => {
        clearTimeout(killTimer);
        resolve(answer);
      };
      socket.on('error', (error) => reject(error));
      socket.once('close', () => {
        reject(new Error(`the server closed the connection: ${this.lastWords}`));
        if (this.#socket === socket) this.#lost();
      });
      socket.write(upgradeRequest(this.#target));
    });
  }

  /** Closes the socket without a close frame, like a network failure. */
  cut() {
    const socket = this.#socket;
    this.#socket = undefined;
    this.isOn = false;
    socket?.resetAndDestroy();
  }

  #lost() {
    this.#socket = undefined;
    if (this.isOn) this.losses += 1;
    this.isOn = false;
  }

  #upgraded() {
    if (this.#target.protocol === 'websocket') this.#subscribe();
  }

  #subscribe() {
    const { protocol, topics, subscribes } = this.#target;
    if (!subscribes) return this.#subscribed('');
    const payload = { topics, ...(this.#after === undefined ? {} : { after: this.#after }) };
    if (protocol === 'websocket') {
      this.#send(JSON.stringify({ type: 'subscribe', requestId: 1, ...payload }));
    } else this.#send(`421${JSON.stringify(['subscribe', payload])}`);
  }

  /** @param {string} answer */
  #subscribed(answer) {
    this.isOn = true;
    this.#onSubscribed(answer);
  }

  /** @param {string} text */
  #send(text) {
    this.#socket?.write(clientFrame(OPCODES.TEXT, text));
  }

  /** @type {import('./frames.mjs').OnFrame} */
  #take(opcode, buffer, start, end) {
    if (opcode === OPCODES.TEXT) {
      if (isEvent(this.#target.protocol, buffer, start)) this.#onEvent(this, buffer, start, end);
      else this.#receiveText(buffer.toString('utf8', start, end));
    } else if (opcode === OPCODES.PING) this.#socket?.write(clientFrame(OPCODES.PONG, ''));
    else if (opcode === OPCODES.CLOSE) this.#socket?.destroy();
  }

  /** @param {string} text */
  #receiveText(text) {
    if (text === '2') this.#send('3');
    else if (text.startsWith('0{'))
      this.#send(`40${JSON.stringify({ token: this.#target.token })}`);
    else if (text.startsWith('40')) this.#subscribe();
    else if (text.startsWith('431') || text.startsWith('{"type":"ack"')) this.#answered(text);
    else if (/^(44|42\["error"|\{"type":"error")/.test(text)) this.lastWords = text;
  }

  /** @param {string} text */
  #answered(text) {
    if (text.includes('"ok":true')) return this.#subscribed(text);
    this.lastWords = text;
    this.#socket?.destroy();
  }
}

/**
 * Checks only two characters, because this runs for every message.
 * @param {Target['protocol']} protocol
 * @param {Buffer} buffer
 * @param {number} start
 */
function isEvent(protocol, buffer, start) {
  // 42["event",… and {"type":"event",…
  const at = start + (protocol === 'websocket' ? 9 : 4);
  return buffer[at] === E && buffer[at + 1] === V;
}
const E = 'e'.charCodeAt(0);
const V = 'v'.charCodeAt(0);

/** @param {Target} target */
function upgradeRequest({ protocol, host, port, token }) {
  const isPlain = protocol === 'websocket';
  return [
    `GET ${isPlain ? '/ws' : '/socket.io/?EIO=4&transport=websocket'} HTTP/1.1`,
    `host: ${host}:${port}`,
    'connection: Upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    `sec-websocket-key: ${randomBytes(16).toString('base64')}`,
    ...(isPlain ? [`authorization: Bearer ${token}`] : []),
    '\r\n',
  ].join('\r\n');
}
