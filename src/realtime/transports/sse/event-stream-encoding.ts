import type { Encoding, Frame } from '../../fanout/frame.js';

/** After this, an `EventSource` whose stream has broken off connects again. */
const RETRY_MS = 2_000;

/**
 * Server-sent events (WHATWG HTML, 9.2). The names are those of the other transports, whatever the
 * type of an event is: `EventSource` has events of its own, such as `open`, with which a type could
 * be confused. Only events have an id, which a client sends back as `Last-Event-ID`.
 */
export const EVENT_STREAM_ENCODING: Encoding = {
  separator: '',
  // Without an id, a client goes on naming the last event that it can resume from.
  event: ({ id, body, transient }) =>
    lines(...(transient ? [] : [`id: ${id}`]), 'event: event', `data: ${body}`),
  notice: (name, payload) => {
    const retry = retryOf(name, payload);
    return lines(
      ...(retry === undefined ? [] : [`retry: ${retry}`]),
      `event: ${name}`,
      `data: ${JSON.stringify(payload)}`,
    );
  },
};

/** A comment, which keeps proxies from closing the stream and shows that it is still there. */
export const HEARTBEAT: Frame = lines(':');

/** When to come back is an instruction, which `EventSource` follows by itself. */
function retryOf(name: string, payload: object): number | undefined {
  if (name === 'connected') return RETRY_MS;
  return 'reconnectInMs' in payload ? Number(payload.reconnectInMs) : undefined;
}

function lines(...fields: string[]): Frame {
  const text = `${fields.join('\n')}\n\n`;
  return { text, bytes: Buffer.from(text) };
}
