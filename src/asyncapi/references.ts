/** Schemas that move into a document take their references with them. */

/** References of zod's, to where the components are here. */
export const relocated = (node: unknown): unknown =>
  mapReferences(node, (reference) => reference.replace('#/$defs/', '#/components/schemas/'));

/** References of a schema that stood alone, to where it is now. */
export const rooted = (node: unknown, pointer: string): unknown =>
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
