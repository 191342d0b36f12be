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

// As in the file: without values that JSON omits.
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

/** Every value of a keyword, at any depth. */
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

/** A schema and all components that it refers to. */
function reachable(schema: unknown, seen = new Set<unknown>()): Set<unknown> {
  if (seen.has(schema)) return seen;
  seen.add(schema);
  for (const pointer of valuesOf(schema, '$ref')) reachable(resolve(pointer as string), seen);
  return seen;
}

describe('openapi.json', () => {
  it('is what the code generates', () => {
    expect(JSON.parse(readFileSync('openapi.json', 'utf8'))).toEqual(document);
  });

  it('is OpenAPI 3.1', () => {
    expect(document.openapi).toMatch(/^3\.1\./);
  });

  it('has only patterns that the regular expressions of every language know', () => {
    const patterns = valuesOf(document, 'pattern').filter((value) => typeof value === 'string');
    expect(patterns.length).toBeGreaterThan(0);
    for (const pattern of patterns) {
      expect(pattern).not.toMatch(/\\[pPuk]|\(\?[=!<]/);
      expect(() => new RegExp(pattern)).not.toThrow();
      expect(() => new RegExp(pattern, 'u')).not.toThrow();
    }
  });

  it('refers only to its own components', () => {
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
    it('has a summary and a group', () => {
      expect(operation.summary).toMatch(/\S/);
      expect(operation.tags).not.toEqual([]);
    });

    it('describes its answers', () => {
      const statuses = Object.keys(operation.responses);
      const success = statuses.filter((status) => /^[23]/.test(status));
      expect(success).not.toEqual([]);
      const bodies = success.filter((status) => status !== '204');
      expect(bodies.filter((status) => !operation.responses[status]?.content)).toEqual([]);
    });

    it('has an example of its body', () => {
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

  // Health checks are for machines, which read the status; the body reports each check.
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
