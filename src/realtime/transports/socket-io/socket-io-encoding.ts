import type { Encoding, Frame } from '../../fanout/frame.js';
import { textFrame } from '../../fanout/websocket-frame.js';

/** A `MESSAGE` of Engine.IO that carries an `EVENT` of Socket.IO in the main namespace. */
const MESSAGE = '4';
const EVENT = '2';

/** Packets as Socket.IO's own encoder writes them. An envelope goes in as the text that it is. */
export const SOCKET_IO_ENCODING: Encoding = {
  // In an answer of polling, this ends a message and begins the next one.
  separator: `\x1e${MESSAGE}`,
  event: ({ body }) => packet('event', body),
  notice: (name, payload) => packet(name, JSON.stringify(payload)),
};

function packet(name: string, payload: string): Frame {
  const text = `${EVENT}["${name}",${payload}]`;
  return { text, bytes: textFrame(MESSAGE + text) };
}
