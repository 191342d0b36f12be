import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fieldErrors, type Issue } from './field-errors.js';

const schema = z.strictObject({
  events: z.array(z.strictObject({ type: z.string(), data: z.unknown().optional() })),
});
const errorsOf = (input: unknown) => fieldErrors(schema.safeParse(input).error!.issues);

describe(fieldErrors.name, () => {
  it('names the field by its path', () => {
    const [error] = errorsOf({ events: [{ type: 'a' }, { type: 1 }] });
    expect(error?.field).toBe('events[1].type');
  });

  it('names each unknown field', () => {
    const errors = errorsOf({ events: [{ type: 'a', x: 1, y: 2 }] });
    expect(errors.map(({ field }) => field)).toEqual(['events[0].x', 'events[0].y']);
  });

  it('names the body when all of it is wrong', () => {
    expect(errorsOf([])[0]?.field).toBe('(body)');
  });

  it('stays short and on one line whatever the caller wrote', () => {
    const errors = errorsOf({ [`a\nb\u0000${'x'.repeat(1000)}`]: 1, events: 1 });
    for (const { field } of errors) {
      expect(field).not.toMatch(/\p{Cc}/u);
      expect(field.length).toBeLessThanOrEqual(100);
    }
  });

  it('does not grow with the number of mistakes', () => {
    expect(errorsOf({ events: Array.from({ length: 500 }, () => 1) })).toHaveLength(20);
  });

  it.each<[z.ZodType, unknown, string]>([
    [z.object({}), undefined, 'is required'],
    [z.object({ a: z.string() }), {}, 'is required'],
    [z.string(), 1, 'must be a string'],
    [z.string(), null, 'must be a string'],
    [z.int(), 1.5, 'must be a whole number'],
    [z.boolean(), 'yes', 'must be true or false'],
    [z.array(z.string()), {}, 'must be an array'],
    [z.strictObject({}), [], 'must be an object'],
    [z.string().min(2), 'a', 'must have at least 2 characters'],
    [z.string().length(2), 'aaa', 'must have exactly 2 characters'],
    [z.array(z.string()).max(1), ['a', 'b'], 'must have at most 1 entries'],
    [z.int().min(3), 1, 'must be at least 3'],
    [z.number().lt(3), 3, 'must be less than 3'],
    [z.enum(['a', 'b']), 'c', 'must be one of a, b'],
    [z.literal(true), false, 'must be true'],
    [z.union([z.string(), z.object({})]), 3, 'is not acceptable here'],
    [z.string().regex(/a/, 'must hold an a'), 'b', 'must hold an a'],
  ])('says in plain words what was expected: %#', (expected, input, message) => {
    const issues = expected.safeParse(input).error!.issues as Issue[];
    expect(fieldErrors(issues)[0]?.message).toBe(message);
  });
});
