/** The messages of the live connections, in the frames of each transport. */
import { z } from 'zod';
import {
  EnvelopeSchema,
  type NoticeDescription,
  NOTICES,
  Refusal,
  type RequestName,
  REQUESTS,
} from '../realtime/protocol.js';

type Json = Record<string, unknown>;

/** An event type, as far as the document shows it. */
export interface DocumentedType {
  name: string;
  description: string | null;
  /** JSON Schema of `data`; null: any. */
  schema: Json | null;
}

/** How a transport writes a frame. */
export type Wrapping = 'socketIo' | 'webSocket' | 'eventStream';

export const REQUEST_NAMES = Object.keys(REQUESTS) as RequestName[];
const NOTICE_NAMES = Object.keys(NOTICES) as (keyof typeof NOTICES)[];

/** Event streams send no requests, so they get no notices that follow one. */
const STREAM_NOTICES: ReadonlySet<string> = new Set([
  'connected',
  'resumed',
  'error',
  'draining',
  'message',
]);

/** Collects messages and schemas under their names. */
export class MessageBuilder {
  readonly messages: Record<string, Json> = {};
  readonly schemas: Record<string, Json> = {};

  /** @returns the names of what the server sends over this transport */
  sent(wrapping: Wrapping, types: readonly DocumentedType[]): string[] {
    const notices = NOTICE_NAMES.filter((name) =>
      wrapping === 'eventStream' ? STREAM_NOTICES.has(name) : name !== 'resumed',
    );
    return [
      ...notices.map((name) => this.add(wrapping, name, NOTICES[name])),
      this.anyEvent(wrapping),
      ...types.map((type) => this.event(wrapping, type)),
      ...(wrapping === 'eventStream'
        ? []
        : REQUEST_NAMES.map((name) => this.answer(wrapping, name))),
      ...(wrapping === 'webSocket' ? [this.dataFrame(), this.heartbeat('ping'), this.text()] : []),
    ];
  }

  /** @returns the names of what clients send over this transport */
  received(wrapping: Wrapping): string[] {
    if (wrapping === 'eventStream') return [];
    return [
      ...REQUEST_NAMES.map((name) => this.add(wrapping, name, REQUESTS[name], 'request')),
      ...(wrapping === 'webSocket' ? [this.chatFrame(), this.heartbeat('pong'), this.text()] : []),
    ];
  }

  private answer(wrapping: Wrapping, name: RequestName): string {
    const done = this.schemaOf(REQUESTS[name].answer);
    const refused = { error: this.schemaOf(Refusal) };
    const id = `${wrapping}.${componentKey(name)}.answer`;
    const frame: Json =
      wrapping === 'webSocket'
        ? { type: { const: 'ack' }, request: { const: name }, requestId: REQUEST_ID }
        : {};
    const either = [
      withMembers(done, { ...frame, ok: { const: true } }),
      withMembers(
        { type: 'object', properties: refused, required: ['error'] },
        { ...frame, ok: { const: false } },
      ),
    ];
    this.messages[id] = {
      name: wrapping === 'webSocket' ? 'ack' : name,
      summary: `Answers ${name}.`,
      payload: { oneOf: either },
    };
    return id;
  }

  private anyEvent(wrapping: Wrapping): string {
    const examples = z.globalRegistry.get(EnvelopeSchema)?.examples as Json[];
    const payload = this.schemaOf(EnvelopeSchema);
    const summary = 'An event of any type.';
    return this.addEvent(wrapping, 'event', { summary, payload, examples });
  }

  /** An event for clients that have chosen so, without a frame around its envelope. */
  private dataFrame(): string {
    const id = 'webSocket.data';
    const examples = z.globalRegistry.get(EnvelopeSchema)?.examples as Json[];
    this.messages[id] = {
      name: 'data',
      summary: 'An event of any type, with `frames=data`. Unlike notices, it has an `id`.',
      payload: this.schemaOf(EnvelopeSchema),
      examples: examples.map((payload) => ({ payload })),
    };
    return id;
  }

  /** The request `message`, as it is without a `type`. */
  private chatFrame(): string {
    const id = 'webSocket.chatFrame';
    const { payload, examples } = REQUESTS.message;
    this.messages[id] = {
      name: 'message',
      summary:
        'A message in the form of chat clients. An `ack` comes only if it has a `requestId`.',
      payload: withMembers(this.schemaOf(payload), { requestId: REQUEST_ID }),
      examples: examples.map((example) => ({ payload: example })),
    };
    return id;
  }

  private event(wrapping: Wrapping, { name, description, schema }: DocumentedType): string {
    const data = schema === null ? {} : { data: this.dataSchema(name, schema) };
    const payload = {
      allOf: [
        this.schemaOf(EnvelopeSchema),
        { type: 'object', properties: { type: { const: name }, ...data } },
      ],
    };
    const summary = description ?? `An event of the type ${name}.`;
    return this.addEvent(wrapping, `event.${name}`, { summary, payload, examples: [] });
  }

  /** Without its own base, which would make its references point elsewhere. */
  private dataSchema(name: string, { $id: _base, ...schema }: Json): Json {
    const key = `data.${name}`;
    const pointer = `#/components/schemas/${key}`;
    this.schemas[key] = rooted(schema, pointer) as Json;
    return { $ref: pointer };
  }

  private addEvent(
    wrapping: Wrapping,
    key: string,
    { payload, examples, summary }: { summary: string; payload: Json; examples: Json[] },
  ): string {
    const id = `${wrapping}.${componentKey(key)}`;
    const isWrapped = wrapping === 'webSocket';
    const frame = {
      type: 'object',
      properties: {
        type: { const: 'event' },
        channel: { type: 'string', description: 'That of its type; absent: it has none.' },
        event: payload,
      },
      required: ['type', 'event'],
    };
    this.messages[id] = {
      name: 'event',
      summary,
      payload: isWrapped ? frame : payload,
      ...(examples.length > 0 && {
        examples: examples.map((event) => ({
          payload: isWrapped ? { type: 'event', event } : event,
        })),
      }),
    };
    return id;
  }

  private add(
    wrapping: Wrapping,
    name: string,
    { summary, payload: schema, examples }: NoticeDescription,
    kind?: 'request',
  ): string {
    const id = `${wrapping}.${componentKey(name)}${kind === undefined ? '' : `.${kind}`}`;
    const isFrame = wrapping === 'webSocket';
    const payload = this.schemaOf(schema);
    const own: Json = { type: { const: name }, ...(kind && { requestId: REQUEST_ID }) };
    this.messages[id] = {
      name,
      summary,
      payload: isFrame ? withMembers(payload, own) : payload,
      examples: examples.map((example) => ({
        payload: isFrame ? { type: name, ...example } : example,
      })),
    };
    return id;
  }

  private heartbeat(type: 'ping' | 'pong'): string {
    const id = `webSocket.heartbeat.${type}`;
    const summary =
      type === 'ping' ? 'A heartbeat, to be answered with `pong`.' : 'Answers the server’s `ping`.';
    const payload = { type: 'object', properties: { type: { const: type } }, required: ['type'] };
    this.messages[id] = { name: type, summary, payload, examples: [{ payload: { type } }] };
    return id;
  }

  private text(): string {
    const id = 'webSocket.text';
    this.messages[id] = {
      name: 'text',
      summary: 'Text that is not JSON, to every connection that may receive it.',
      contentType: 'text/plain',
      payload: { type: 'string' },
      examples: [{ payload: 'Hello.' }],
    };
    return id;
  }

  /** A schema with an id becomes a component of that name. */
  private schemaOf(schema: z.ZodType): Json {
    const {
      $schema: _,
      $defs = {},
      ...root
    } = z.toJSONSchema(schema, {
      io: 'input',
      target: 'draft-2020-12',
      unrepresentable: 'any',
      override: ({ jsonSchema }) => {
        if (jsonSchema['format'] === 'date-time') delete jsonSchema['pattern'];
        if (jsonSchema['maximum'] === Number.MAX_SAFE_INTEGER) delete jsonSchema['maximum'];
      },
    }) as Json & { $defs?: Record<string, Json> };
    for (const [name, component] of Object.entries($defs)) {
      this.schemas[name] = relocated(component) as Json;
    }
    const { id, ...inline } = relocated(root) as Json;
    if (typeof id !== 'string') return inline;
    this.schemas[id] = inline;
    return { $ref: `#/components/schemas/${id}` };
  }
}

const REQUEST_ID = {
  type: ['string', 'number'],
  description: 'Chosen by the client, to find the answer.',
};

/** With further members, whether or not the schema allows others. */
function withMembers(schema: Json, members: Json): Json {
  const own = { type: 'object', properties: members, required: requiredOf(members) };
  if (typeof schema['$ref'] === 'string') return { allOf: [own, schema] };
  return {
    ...schema,
    type: 'object',
    properties: { ...members, ...(schema['properties'] as Json | undefined) },
    required: [...own.required, ...((schema['required'] as string[] | undefined) ?? [])],
  };
}

const requiredOf = (members: Json): string[] =>
  Object.keys(members).filter((name) => members[name] !== REQUEST_ID);

/** AsyncAPI allows letters, digits and `.`, `-`, `_` in the name of a component. */
export const componentKey = (name: string): string => name.replace(':', '-');

/** References of zod's, to where the components are in this document. */
const relocated = (node: unknown): unknown =>
  mapReferences(node, (reference) => reference.replace('#/$defs/', '#/components/schemas/'));

/** References of a schema that was a document of its own, to where it is in this one. */
const rooted = (node: unknown, pointer: string): unknown =>
  mapReferences(node, (reference) =>
    reference === '#' || reference.startsWith('#/') ? `${pointer}${reference.slice(1)}` : reference,
  );

function mapReferences(node: unknown, change: (reference: string) => string): unknown {
  if (typeof node !== 'object' || node === null) return node;
  if (Array.isArray(node)) return node.map((item) => mapReferences(item, change));
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [
      key,
      key === '$ref' && typeof value === 'string' ? change(value) : mapReferences(value, change),
    ]),
  );
}
