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

/** One operation of the OpenAPI document, so that tests of all routes include new ones. */
export interface Route {
  /** `GET /api/v1/webhooks/{id}` */
  name: string;
  method: string;
  path: string;
  operation: Operation;
  /** Whether it needs no credential. */
  isPublic: boolean;
  /** Whether no role of a tenant may call it. */
  isForAdmins: boolean;
  /** Whether its answer is an endless stream. */
  isStream: boolean;
  /** Ids in the path, with their prefix: `wh`, `evt`, … */
  ids: { name: string; prefix: string }[];
  /** Other parameters in the path: names of things without an owner, with their examples. */
  names: { name: string; example: string }[];
  /** The documented example of a body; undefined: it has no body. */
  example: unknown;
}

/** Routes of the operator, and those that change things of all owners. */
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

/** The absolute path with its parameters filled in. */
export function pathOf({ path, ids, names }: Route, idOf: (prefix: string) => string): string {
  const values = [
    ...ids.map(({ name, prefix }) => ({ name, value: idOf(prefix) })),
    ...names.map(({ name, example }) => ({ name, value: example })),
  ];
  return `/${values.reduce((filled, { name, value }) => filled.replace(`{${name}}`, value), path)}`;
}

/** The example of the body, with its ids replaced by ids of existing things. */
export const bodyOf = ({ example }: Route, idOf: (prefix: string) => string): unknown =>
  example === undefined
    ? undefined
    : (JSON.parse(
        JSON.stringify(example).replaceAll(EXAMPLE_ID, (_, prefix: string) => idOf(prefix)),
      ) as unknown);

const PATH_ID = /^([a-z]+)_[0-9a-z]{26}$/;
const EXAMPLE_ID = /\b([a-z]+)_01h455vb4pex5vsknk084sn02q\b/g;

/** Resolves a reference to a component. */
export function resolved(document: ApiDocument, schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  const name = schema.$ref.replace('#/components/schemas/', '');
  const component = document.components.schemas[name];
  if (!component) throw new Error(`${schema.$ref} is not in the document`);
  return component;
}

function exampleOf(document: ApiDocument, { requestBody }: Operation): unknown {
  const schema = requestBody?.content['application/json']?.schema;
  return schema && (resolved(document, schema).example ?? {});
}
