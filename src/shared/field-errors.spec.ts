import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fieldErrors } from './field-errors.js';

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
});
