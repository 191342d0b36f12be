import type { ApiClient } from './api-client.js';

interface Parameter {
  name: string;
  in: string;
  description?: string;
  schema: Schema;
}

interface Operation {
  summary?: string;
  description?: string;
  operationId?: string;
  security?: object[];
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

export interface Schema {
  $ref?: string;
  example?: unknown;
  [keyword: string]: unknown;
}

export interface ApiDocument {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; securitySchemes: object };
}

/** One operation of the document, so that a test of every route finds the new ones by itself. */
export interface Route {
  /** `GET /api/v1/webhooks/{id}` */
  name: string;
  method: string;
  path: string;
  operation: Operation;
  /** Whether it is for everybody, without a credential. */
  isPublic: boolean;
  /** Whether only an admin may call it. */
  isForAdmins: boolean;
  /** Whether it answers with a stream that does not end. */
  isStream: boolean;
  /** Ids in the path with the kind that they are: `wh`, `evt`, … */
  ids: { name: string; prefix: string }[];
  /** What else is in the path: names of things that belong to nobody, with their examples. */
  names: { name: string; example: string }[];
  /** The documented example of a body; undefined: it takes none. */
  example: unknown;
}

/** What is the operator's, and changing what belongs to all. */
const FOR_ADMINS = /^(\w+ \/api\/v1\/admin\/|(post|put|delete) \/api\/v1\/event-types)/;

export async function readDocument(api: ApiClient): Promise<ApiDocument> {
  return (await api.get('//docs/json')) as unknown as ApiDocument;
}

export const routesOf = (document: ApiDocument): Route[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
      isPublic: operation.security?.length === 0,
      isForAdmins: FOR_ADMINS.test(`${method} ${path}`),
      isStream: operation.responses['200']?.content?.['text/event-stream'] !== undefined,
      ids: (operation.parameters ?? [])
        .filter((parameter) => parameter.in === 'path')
        .flatMap(({ name, schema }) => {
          const prefix = PATH_ID.exec(String(schema.example))?.[1];
          return prefix === undefined ? [] : [{ name, prefix }];
        }),
      names: (operation.parameters ?? [])
        .filter(
          ({ in: place, schema }) => place === 'path' && !PATH_ID.test(String(schema.example)),
        )
        .map(({ name, schema }) => ({ name, example: String(schema.example) })),
      example: exampleOf(document, operation),
    })),
  );

/** The path for a client, rooted, with its parameters filled in. */
export function pathOf({ path, ids, names }: Route, idOf: (prefix: string) => string): string {
  const values = [
    ...ids.map(({ name, prefix }) => ({ name, value: idOf(prefix) })),
    ...names.map(({ name, example }) => ({ name, value: example })),
  ];
  return `/${values.reduce((filled, { name, value }) => filled.replace(`{${name}}`, value), path)}`;
}

/** The example of the body for a client, with the ids that it names replaced by those of things. */
export const bodyOf = ({ example }: Route, idOf: (prefix: string) => string): unknown =>
  example === undefined
    ? undefined
    : (JSON.parse(
        JSON.stringify(example).replaceAll(EXAMPLE_ID, (_, prefix: string) => idOf(prefix)),
      ) as unknown);

const PATH_ID = /^([a-z]+)_[0-9a-z]{26}$/;
const EXAMPLE_ID = /\b([a-z]+)_01h455vb4pex5vsknk084sn02q\b/g;

/** A schema, or the component that it refers to. */
export function resolved(document: ApiDocument, schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  const name = schema.$ref.replace('#/components/schemas/', '');
  const component = document.components.schemas[name];
  if (!component) throw new Error(`${schema.$ref} refers to nothing`);
  return component;
}

function exampleOf(document: ApiDocument, { requestBody }: Operation): unknown {
  const schema = requestBody?.content['application/json']?.schema;
  return schema && (resolved(document, schema).example ?? {});
}
