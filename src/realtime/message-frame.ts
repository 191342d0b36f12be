/**
 * A message in the form that chat clients send by custom: `{"message": …, "message_type": "chat"}`, or
 * a text. It stands for one of the requests of the protocol, which has the limits of both.
 */
import { z } from 'zod';
import { jsonProblem } from '../shared/json-values.js';

/** The values of `message_type`, each of which is a request. */
const MESSAGE_TYPES = ['chat', 'broadcast', 'private', 'ping'] as const;
type MessageType = (typeof MESSAGE_TYPES)[number];

/** What the recipient of a private message may be called. */
const RECIPIENT_NAMES = ['to', 'target', 'target_id', 'recipient', 'recipient_id'] as const;
/** Also the recipient, unless another member is: many clients name themselves with it. */
const CLIENT_ID = 'client_id';

/** What a message in this form asks for: text for all, or a request that is validated as such. */
export type MessageFrame =
  { kind: 'text'; text: string } | { kind: 'request'; name: MessageType; payload: object };

type Members = Readonly<Record<string, unknown>>;

const any = z.unknown().optional();

/** Documents a frame. It checks nothing: {@link frameOf} does, and names the first invalid field. */
const documented = z.toJSONSchema(
  z.union([
    z.string().describe('A text, for all.'),
    z.looseObject({
      message: any.describe('Any JSON. Absent in a frame without `message_type`: the whole frame.'),
      message_type: any.describe(
        `One of ${MESSAGE_TYPES.join(', ')}. Absent: chat. A \`ping\` needs no message.`,
      ),
      room: any.describe('Of `chat`; absent: all connections of the owner.'),
      to: any.describe(
        'Of `private`: the id of a user of the tenant, or of a connection. Also accepted as ' +
          `${RECIPIENT_NAMES.slice(1).join(', ')}, or \`${CLIENT_ID}\`.`,
      ),
    }),
  ]),
) as { anyOf: object[] };

export const messageFrame = z
  .custom<string | Members>(
    (value) => typeof value === 'string' || isPlainObject(value),
    'must be an object or text',
  )
  .meta({ anyOf: documented.anyOf })
  .transform((frame, context): MessageFrame => {
    const read = typeof frame === 'string' ? textOf(frame) : frameOf(frame);
    if (!('problem' in read)) return read;
    context.addIssue({ code: 'custom', path: [...read.path], message: read.problem });
    return z.NEVER;
  });

/** Not the bytes that Socket.IO can carry. */
const isPlainObject = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null);

interface Fault {
  path: readonly (string | number)[];
  problem: string;
}

const fault = (path: string, problem: string): Fault => ({ path: [path], problem });

function textOf(text: string): MessageFrame | Fault {
  const problem = jsonProblem(text);
  return problem ? { path: [], problem: problem.message } : { kind: 'text', text };
}

/** A member that is null is absent: many clients send all of their fields. */
function frameOf(frame: Members): MessageFrame | Fault {
  const type = frame['message_type'] ?? undefined;
  if (type !== undefined && !isMessageType(type)) {
    return fault('message_type', `must be one of ${MESSAGE_TYPES.join(', ')}`);
  }
  const recipients = RECIPIENT_NAMES.filter((name) => (frame[name] ?? undefined) !== undefined);
  switch (type) {
    case 'ping':
      return request('ping', {});
    case 'private':
      return privateOf(frame, recipients);
    case 'chat':
    case 'broadcast':
    case undefined: {
      // Or a message for one would be sent to all.
      const [named] = recipients;
      if (named === undefined || !hasMessage(frame)) return toAll(frame, type);
      return fault(named, 'only a message with the message_type private has a recipient');
    }
  }
}

function privateOf(frame: Members, recipients: readonly string[]): MessageFrame | Fault {
  const [named = CLIENT_ID, other] = recipients;
  if (other !== undefined && frame[other] !== frame[named]) {
    return fault(other, `names another recipient than ${named}`);
  }
  const to = frame[named] ?? undefined;
  return request('private', { ...(to !== undefined && { to }), ...messageOf(frame) });
}

function toAll(frame: Members, type: 'chat' | 'broadcast' | undefined): MessageFrame | Fault {
  if (type === 'broadcast') return request('broadcast', messageOf(frame));
  if (type === undefined && !hasMessage(frame)) return request('chat', { message: frame });
  const room = frame['room'] ?? undefined;
  return request('chat', { ...(room !== undefined && { room }), ...messageOf(frame) });
}

const hasMessage = (frame: Members): boolean => frame['message'] !== undefined;

const messageOf = (frame: Members): object =>
  hasMessage(frame) ? { message: frame['message'] } : {};

const request = (name: MessageType, payload: object): MessageFrame => ({
  kind: 'request',
  name,
  payload,
});

const isMessageType = (value: unknown): value is MessageType =>
  MESSAGE_TYPES.some((type) => type === value);
