import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import { documentedProblem, Problem } from './problem.js';
import { VERSION } from '../shared/version.js';

/**
 * The OpenAPI 3.1 document, generated from the controllers and the zod schemas they name. The same
 * schema validates, types and documents.
 */
export function openApiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Tidings')
    .setDescription(
      'One durable event log, and every way to receive it. Publish an event once; it arrives ' +
        'signed at webhooks and live at sockets, with the same id. Errors are problem details ' +
        '(RFC 9457); lists are paged by cursor; times are RFC 3339 in UTC.',
    )
    .setVersion(VERSION)
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addServer('/', 'this server')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description:
          'A token: `sub` is the owner, `roles` of admin, operator, manager, publisher, producer, ' +
          'subscriber. Or an API key.',
      },
      'jwt',
    )
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-API-Key' }, 'api-key')
    .addTag('Events', 'Publish, and read the log.')
    .addTag('Event types', 'What the types mean, and what their events look like.')
    .addTag('Webhooks', 'Who is sent what, and where.')
    .addTag('Deliveries', 'What was sent, and what came of it.')
    .addTag('Dead letters', 'What was given up, and sending it again.')
    .addTag('API keys', 'Long-lived credentials.')
    .addTag('Audit log', 'Who changed what.')
    .addTag('Administration', 'What an operator sees and does, over all owners.')
    .addTag('Health', 'For load balancers and orchestrators.')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) =>
      `${controller.replace(/Controller$/, '').replace(/^./, (c) => c.toLowerCase())}.${method}`,
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? converted(schema, schemaType) : undefined,
  });
  const components = (document.components ??= {});
  components.schemas = sorted({
    ...components.schemas,
    ...converted(Problem, 'output').components,
  });
  for (const operation of operationsOf(document)) addFrameworkProblems(operation);
  return document;
}

/** Refusals that come before any code of a route, and so from every route of its kind. */
function addFrameworkProblems(operation: Operation): void {
  const statuses = [
    ...(operation.requestBody ? ([400, 413, 415, 422] as const) : []),
    ...(operation.security?.length ? ([401, 503] as const) : []),
  ];
  for (const status of statuses) operation.responses[status] ??= documentedProblem(status);
}

type Operation = NonNullable<PathItem['get']>;
type PathItem = OpenAPIObject['paths'][string];

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;

const operationsOf = ({ paths }: OpenAPIObject): Operation[] =>
  Object.values(paths).flatMap((item) => METHODS.flatMap((method) => item[method] ?? []));

type JsonSchema = Record<string, unknown>;

/** A schema with an id becomes a component of that name; everything else stands where it is used. */
function converted(
  schema: z.ZodType,
  io: 'input' | 'output',
): { schema: JsonSchema; components: Record<string, JsonSchema> } {
  const {
    $schema: _,
    $defs: components = {},
    ...root
  } = z.toJSONSchema(schema, {
    io,
    target: 'draft-2020-12',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // zod drops these where the input is transformed, because they could describe the output; here
      // they always describe the input.
      const { examples, default: fallback }: JsonSchema = z.globalRegistry.get(zodSchema) ?? {};
      Object.assign(
        jsonSchema,
        examples && { examples },
        fallback !== undefined && { default: fallback },
      );
      simplify(jsonSchema);
    },
  }) as JsonSchema & { $defs?: Record<string, JsonSchema> };
  return { schema: root, components };
}

/** Removes what readers do not need: the pattern of a `date-time` has 300 characters. */
function simplify(schema: JsonSchema): void {
  if (schema['format'] === 'date-time') delete schema['pattern'];
  if (schema['minimum'] === Number.MIN_SAFE_INTEGER) delete schema['minimum'];
  if (schema['maximum'] === Number.MAX_SAFE_INTEGER) delete schema['maximum'];
}

const sorted = <T>(record: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => a.localeCompare(b)));
