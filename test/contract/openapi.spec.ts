import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/openapi.js';

interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  security?: object[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { $ref?: string; content?: Record<string, unknown> }>;
}

// As a reader of the file gets it: without what JSON leaves out.
const document = JSON.parse(JSON.stringify(await openApiDocument())) as {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, object>>;
};

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    operation,
  })),
);

/** Every value of a keyword, wherever it stands. */
function valuesOf(node: unknown, keyword: string): unknown[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, value]) =>
    key === keyword ? [value as unknown, ...valuesOf(value, keyword)] : valuesOf(value, keyword),
  );
}

function resolve(pointer: string): unknown {
  return pointer
    .slice('#/'.length)
    .split('/')
    .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], document);
}

/** A schema, and every component that it reaches. */
function reachable(schema: unknown, seen = new Set<unknown>()): Set<unknown> {
  if (seen.has(schema)) return seen;
  seen.add(schema);
  for (const pointer of valuesOf(schema, '$ref')) reachable(resolve(pointer as string), seen);
  return seen;
}

describe('openapi.json', () => {
  it('is what the code says', () => {
    expect(JSON.parse(readFileSync('openapi.json', 'utf8'))).toEqual(document);
  });

  it('is OpenAPI 3.1', () => {
    expect(document.openapi).toMatch(/^3\.1\./);
  });

  it('refers only to what it holds', () => {
    const references = valuesOf(document, '$ref') as string[];
    expect(references.filter((pointer) => resolve(pointer) === undefined)).toEqual([]);
  });

  it('gives every operation an id of its own', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(operations.length);
    expect(ids).not.toContain(undefined);
  });

  it('leaves no schema empty', () => {
    const empty = Object.entries(document.components.schemas ?? {}).filter(
      ([, schema]) => Object.keys(schema).length === 0,
    );
    expect(empty).toEqual([]);
  });

  describe.each(operations)('$name', ({ operation }) => {
    it('says what it does, and belongs to a group', () => {
      expect(operation.summary).toMatch(/\S/);
      expect(operation.tags).not.toEqual([]);
    });

    it('describes what it answers', () => {
      const statuses = Object.keys(operation.responses);
      const success = statuses.filter((status) => /^[23]/.test(status));
      expect(success).not.toEqual([]);
      const bodies = success.filter((status) => status !== '204');
      expect(bodies.filter((status) => !operation.responses[status]?.content)).toEqual([]);
    });

    it('shows an example of what it takes', () => {
      const bodies = Object.values(operation.requestBody?.content ?? {});
      const without = bodies.filter(
        ({ schema, ...media }) =>
          ![media, ...reachable(schema)].some(
            (node) => valuesOf(node, 'example').length + valuesOf(node, 'examples').length > 0,
          ),
      );
      expect(without).toEqual([]);
    });
  });

  // Probes answer machines that read the status, with the report of each check.
  const api = operations.filter(({ name }) => name.includes(' /api/'));

  describe.each(api)('$name', ({ operation }) => {
    it('answers errors as problem details', () => {
      const errors = Object.entries(operation.responses).filter(([status]) => /^[45]/.test(status));
      const others = errors.filter(
        ([, { content = {}, $ref }]) => !$ref && !('application/problem+json' in content),
      );
      expect(others.map(([status]) => status)).toEqual([]);
      expect(errors).not.toEqual([]);
    });
  });
});
