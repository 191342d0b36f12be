import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import { Problem } from '../common/api-problems.decorator.js';
import { VERSION } from '../common/version.js';

/**
 * The OpenAPI 3.1 document, generated from the controllers and the zod schemas they name. The same
 * schema validates, types and documents.
 */
export function openApiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Tidings')
    .setDescription(
      'One durable event log, and every way to hear from it. Publish an event once; it arrives ' +
        'signed at webhooks and live at sockets, with the same id. Errors are problem details ' +
        '(RFC 9457); lists are paged by cursor; times are RFC 3339 in UTC.',
    )
    .setVersion(VERSION)
    .setLicense('Proprietary', 'https://example.com/license')
    .addServer('/', 'this server')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: '`sub` is the owner; `roles` of admin, publisher, subscriber.',
      },
      'jwt',
    )
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-API-Key' }, 'api-key')
    .addTag('Events', 'Publish, and read the log.')
    .addTag('Webhooks', 'Who is sent what, and where.')
    .addTag('Deliveries', 'What was sent, and what came of it.')
    .addTag('Dead letters', 'What was given up, and sending it again.')
    .addTag('API keys', 'Long-lived credentials.')
    .addTag('Health', 'For load balancers and orchestrators.')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) =>
      `${controller.replace(/Controller$/, '').replace(/^./, (c) => c.toLowerCase())}.${method}`,
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? converted(schema, schemaType) : undefined,
  });
  const schemas = (document.components ??= {}).schemas ?? {};
  Object.assign(schemas, converted(Problem, 'output').components);
  document.components.schemas = sorted(schemas);
  return document;
}

type JsonSchema = Record<string, unknown>;

/** A schema with an id becomes a component of that name; everything else stands where it is used. */
function converted(
  schema: z.ZodType,
  io: 'input' | 'output',
): { schema: JsonSchema; components: Record<string, JsonSchema> } {
  const {
    $schema: _,
    $defs = {},
    ...root
  } = z.toJSONSchema(schema, {
    io,
    target: 'draft-2020-12',
    unrepresentable: 'any',
  }) as JsonSchema & { $defs?: Record<string, JsonSchema> };
  const components = Object.fromEntries(
    Object.entries($defs).map(([name, definition]) => [name, withoutIds(definition)]),
  );
  const id = schema.meta()?.id;
  if (id === undefined) return { schema: withoutIds(root), components };
  return {
    schema: { $ref: `#/components/schemas/${id}` },
    components: { ...components, [id]: withoutIds(root) },
  };
}

/** `id` is zod's registry key, no keyword of JSON Schema. */
function withoutIds(schema: JsonSchema): JsonSchema {
  const { id, ...rest } = schema;
  return typeof id === 'string' ? rest : schema;
}

const sorted = <T>(record: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => a.localeCompare(b)));
