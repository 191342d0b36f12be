/**
 * The AsyncAPI 3.0 document of the live connections: a channel per address, a message per frame. The
 * frames are those of the protocol; the events are those of the catalogue. Written from the server's
 * side: it receives the requests of clients, and sends the rest.
 */
import { VERSION } from '../shared/version.js';
import { BUILT_IN_TYPES } from '../event-types/event-type.js';
import { REQUESTS } from '../realtime/protocol.js';
import {
  componentKey,
  type DocumentedType,
  MessageBuilder,
  REQUEST_NAMES,
  type Wrapping,
} from './message-builder.js';

type Json = Record<string, unknown>;

/** The types of system events, which are public. */
export const BUILT_IN: readonly DocumentedType[] = Object.entries(BUILT_IN_TYPES).map(
  ([name, description]) => ({ name, description, schema: null }),
);

export interface AsyncApiDocument {
  asyncapi: '3.0.0';
  info: Json;
  defaultContentType: string;
  channels: Record<string, Json & { messages: Record<string, Json> }>;
  operations: Record<string, Json>;
  components: {
    messages: Record<string, Json>;
    schemas: Record<string, Json>;
    securitySchemes: Json;
  };
}

const CHANNELS: Record<string, { wrapping: Wrapping } & Json> = {
  socketIo: {
    wrapping: 'socketIo',
    address: '/socket.io/',
    title: 'Socket.IO',
    description:
      'Default path and namespace, WebSocket or polling. The name of a message is that of the ' +
      'Socket.IO event, its payload the first argument; answers are acknowledgements. `auth` has the ' +
      'credential, and may have `clientId` and `replace`; with `channels: true` an event whose type ' +
      'has a channel comes with a second argument, `{channel}`. With `frames: "data"` the name of an ' +
      'event is its type, unless that means something else; `echo: false` leaves out the client’s own ' +
      'messages.',
  },
  webSocket: {
    wrapping: 'webSocket',
    address: '/ws',
    title: 'Plain WebSocket',
    description:
      'JSON frames with a `type`. The answer to a frame is an `ack` with its `requestId`. A frame ' +
      'without `type` is a message in the form of chat clients, and a text frame that is not JSON is ' +
      'broadcast as it is. `?clientId=` names the client, on this path and those below; ' +
      '`&replace=true` takes over from older connections of the same user. `?frames=data` (or the ' +
      'subprotocol `tidings.data`) sends each event as its envelope, without a frame around it; ' +
      '`?echo=false` leaves out the client’s own messages.',
  },
  webSocketName: {
    wrapping: 'webSocket',
    address: '/ws/{name}',
    title:
      'Plain WebSocket of a channel or an event type, subscribed on arrival, or with a client id',
    parameters: {
      name: {
        description:
          'A channel of the catalogue, or else an event type of the catalogue or of the system, or ' +
          'else a name that the client gives itself. `connected.target` says which it was.',
        examples: ['alerts'],
      },
    },
  },
  webSocketTopic: {
    wrapping: 'webSocket',
    address: '/ws/{name}/{subject}',
    title: 'Plain WebSocket, subscribed on arrival',
    parameters: {
      name: {
        description: 'A channel of the catalogue, or else a pattern of event types.',
        examples: ['predictions'],
      },
      subject: { description: 'What the events are about.', examples: ['AAPL'] },
    },
  },
  eventStream: {
    wrapping: 'eventStream',
    address: '/api/v1/events/stream',
    title: 'Server-sent events',
    description:
      'The query names the topics (`types`, `channels`, `subject`), and the client (`clientId`). The name of a message is the `event`, its ' +
      'payload the `data`; the `id` of an event is its own, and `Last-Event-ID` resumes after it.',
  },
};

/** @param types of the catalogue whose events go to sockets, besides which there may be any other */
export function asyncApiDocument(types: readonly DocumentedType[]): AsyncApiDocument {
  const builder = new MessageBuilder();
  const channels = Object.entries(CHANNELS).map(([name, { wrapping, ...channel }]) => {
    const messages = [...builder.sent(wrapping, types), ...builder.received(wrapping)];
    return [
      name,
      { ...channel, messages: referencesTo(messages, '#/components/messages') },
    ] as const;
  });
  const operations = Object.entries(CHANNELS).flatMap(([name, { wrapping }]) =>
    operationsOf(name, wrapping, builder.sent(wrapping, types)),
  );
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Tidings, live',
      version: VERSION,
      description:
        'What live connections carry. An event has the same id and envelope here and at webhooks. ' +
        'The catalogue (`/api/v1/event-types`) knows the types; with a credential, this document ' +
        'as the server answers it (`/docs/asyncapi.json`) holds the operator’s, too.',
    },
    defaultContentType: 'application/json',
    channels: Object.fromEntries(channels),
    operations: Object.fromEntries(operations),
    components: {
      messages: builder.messages,
      schemas: builder.schemas,
      securitySchemes: {
        jwt: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        'api-key': { type: 'httpApiKey', in: 'header', name: 'X-API-Key' },
      },
    },
  };
}

const referencesTo = (names: readonly string[], where: string): Record<string, Json> =>
  Object.fromEntries(names.map((name) => [name, { $ref: `${where}/${name}` }]));

function operationsOf(channel: string, wrapping: Wrapping, sent: string[]): [string, Json][] {
  const at = `#/channels/${channel}`;
  const message = (name: string) => ({ $ref: `${at}/messages/${name}` });
  const unasked = sent.filter((name) => !name.endsWith('.answer')).map(message);
  const send: [string, Json] = [
    `${channel}.send`,
    { action: 'send', channel: { $ref: at }, summary: 'What the server sends.', messages: unasked },
  ];
  if (wrapping === 'eventStream') return [send];
  const receive = REQUEST_NAMES.map((name): [string, Json] => {
    const id = `${wrapping}.${componentKey(name)}`;
    return [
      `${channel}.${componentKey(name)}`,
      {
        action: 'receive',
        channel: { $ref: at },
        summary: REQUESTS[name].summary,
        messages: [message(`${id}.request`)],
        reply: { channel: { $ref: at }, messages: [message(`${id}.answer`)] },
      },
    ];
  });
  const others: [string, Json][] =
    wrapping === 'webSocket'
      ? [
          [
            `${channel}.receive`,
            {
              action: 'receive',
              channel: { $ref: at },
              summary: 'Messages of chat clients, plain text, and answers to the heartbeat.',
              messages: [
                message('webSocket.chatFrame'),
                message('webSocket.text'),
                message('webSocket.heartbeat.pong'),
              ],
            },
          ],
        ]
      : [];
  return [send, ...receive, ...others];
}
