import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { asyncApiDocument, BUILT_IN } from '../../src/asyncapi/asyncapi-document.js';
import { REQUESTS } from '../../src/realtime/protocol.js';

/** The rules of AsyncAPI 3.0 that a document of ours could break, as there is no parser here. */
interface Reference {
  $ref: string;
}
interface Message {
  name: string;
  summary: string;
  payload: object;
  contentType?: string;
  examples?: { payload: unknown }[];
}
interface Channel {
  address: string;
  messages: Record<string, Reference>;
  parameters?: Record<string, object>;
}
interface Operation {
  action: string;
  channel: Reference;
  messages: Reference[];
  reply?: { channel: Reference; messages: Reference[] };
}
interface Document {
  asyncapi: string;
  info: { title: string; version: string };
  channels: Record<string, Channel>;
  operations: Record<string, Operation>;
  components: { messages: Record<string, Message>; schemas: Record<string, object> };
}

/** One with a type whose schema refers to itself and to parts of itself. */
const QUOTE = {
  $id: 'https://example.com/quote',
  type: 'object',
  required: ['price'],
  properties: { price: { $ref: '#/$defs/price' }, earlier: { $ref: '#' } },
  $defs: { price: { type: 'number', exclusiveMinimum: 0 } },
};
const withType = asyncApiDocument([
  ...BUILT_IN,
  { name: 'quotes.price', description: 'A price.', schema: QUOTE },
]);

const asJson = (value: object): Document => JSON.parse(JSON.stringify(value)) as Document;
const document = asJson(withType);
const { channels, operations, components } = document;

const keysOf = (node: object): string[] => Object.keys(node);

function referencesIn(node: unknown): string[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, value]) =>
    key === '$ref' && typeof value === 'string' ? [value] : referencesIn(value),
  );
}

const resolved = (pointer: string): unknown =>
  pointer
    .slice('#/'.length)
    .split('/')
    .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], document);

const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ $id: 'https://example.com/asyncapi', ...document }, 'document');
const checkerOf = (name: string) =>
  ajv.compile({ $ref: `https://example.com/asyncapi#/components/messages/${name}/payload` });

describe('asyncapi.json', () => {
  it('is what the code says', () => {
    const committed = JSON.parse(readFileSync('asyncapi.json', 'utf8')) as unknown;
    expect(committed).toEqual(asJson(asyncApiDocument(BUILT_IN)));
  });

  it('is AsyncAPI 3.0, with the members that it knows', () => {
    expect(document).toMatchObject({
      asyncapi: '3.0.0',
      info: { title: expect.any(String) as unknown, version: expect.any(String) as unknown },
    });
    expect(keysOf(document)).toEqual([
      'asyncapi',
      'info',
      'defaultContentType',
      'channels',
      'operations',
      'components',
    ]);
    const allowed = {
      channel: ['address', 'messages', 'title', 'summary', 'description', 'parameters'],
      operation: ['action', 'channel', 'title', 'summary', 'description', 'messages', 'reply'],
      message: ['name', 'title', 'summary', 'description', 'contentType', 'payload', 'examples'],
    };
    for (const node of Object.values(channels))
      expect(allowed.channel).toEqual(expect.arrayContaining(keysOf(node)));
    for (const node of Object.values(operations))
      expect(allowed.operation).toEqual(expect.arrayContaining(keysOf(node)));
    for (const node of Object.values(components.messages))
      expect(allowed.message).toEqual(expect.arrayContaining(keysOf(node)));
  });

  it('refers only to what it holds, by names that a component may have', () => {
    const broken = referencesIn(document).filter((pointer) => resolved(pointer) === undefined);
    expect(broken).toEqual([]);
    for (const name of [...keysOf(components.messages), ...keysOf(components.schemas)]) {
      expect(name).toMatch(/^[A-Za-z0-9._-]+$/);
    }
  });

  it('explains the parameters of each address, and no others', () => {
    for (const { address, parameters = {} } of Object.values(channels)) {
      const named = [...address.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(keysOf(parameters)).toEqual(named);
    }
  });

  it('lets every operation use messages of its channel', () => {
    for (const [name, { action, channel, messages, reply }] of Object.entries(operations)) {
      expect(['send', 'receive']).toContain(action);
      for (const part of [{ channel, messages }, ...(reply ? [reply] : [])]) {
        expect(messages, name).not.toEqual([]);
        expect(part.channel.$ref).toMatch(/^#\/channels\/\w+$/);
        for (const { $ref } of part.messages) {
          expect($ref.startsWith(`${part.channel.$ref}/messages/`), `${name}: ${$ref}`).toBe(true);
        }
      }
    }
  });

  it('uses every message of every channel in an operation', () => {
    const used = new Set(
      Object.values(operations).flatMap(({ messages, reply }) =>
        [...messages, ...(reply?.messages ?? [])].map(({ $ref }) => $ref),
      ),
    );
    for (const [name, { messages }] of Object.entries(channels)) {
      for (const message of keysOf(messages)) {
        expect(used).toContain(`#/channels/${name}/messages/${message}`);
      }
    }
  });

  it.each(Object.entries(components.messages))(
    'has a good example of %s, or none',
    (name, message) => {
      const check = checkerOf(name);
      for (const { payload } of message.examples ?? []) {
        expect(check(payload), JSON.stringify(check.errors)).toBe(true);
      }
      // What Socket.IO's `send` may have for an argument.
      const isText = message.contentType !== undefined || name === 'socketIo.message.request';
      expect(check('text')).toBe(isText);
    },
  );

  it('checks the data of a type of the catalogue', () => {
    const event = { id: 'evt_1', type: 'quotes.price', timestamp: '2026-01-31T12:00:00.000Z' };
    const check = checkerOf('socketIo.event.quotes.price');
    expect(check({ ...event, data: { price: 1, earlier: { price: 2 } } })).toBe(true);
    expect(check({ ...event, data: { price: 1, earlier: { price: 0 } } })).toBe(false);
    expect(check({ ...event, type: 'other', data: { price: 1 } })).toBe(false);
  });

  it.each(Object.entries(REQUESTS))(
    'shows examples of %s that are accepted',
    (name, { payload }) => {
      const { examples = [] } = components.messages[`socketIo.${name.replace(':', '-')}.request`]!;
      expect(examples).not.toEqual([]);
      for (const example of examples) payload.parse(example.payload);
    },
  );
});
