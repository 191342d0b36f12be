import { describe, expect, it } from 'vitest';
import { InvalidInputError } from '../../shared/app-error.js';
import { connectionOptions } from './connection-options.js';

describe(connectionOptions, () => {
  it.each([
    [{}, { echo: true, frames: 'envelope' }],
    [
      { echo: null, frames: null },
      { echo: true, frames: 'envelope' },
    ],
    [{ echo: 'false' }, { echo: false, frames: 'envelope' }],
    [
      { echo: '0', frames: 'data' },
      { echo: false, frames: 'data' },
    ],
    [
      { echo: false, frames: 'envelope' },
      { echo: false, frames: 'envelope' },
    ],
    [{ echo: '1' }, { echo: true, frames: 'envelope' }],
  ])('reads %j', (given, expected) => {
    expect(connectionOptions(given)).toEqual(expected);
  });

  it.each([
    [{ echo: 'no' }, 'echo'],
    [{ echo: '' }, 'echo'],
    [{ echo: 0 }, 'echo'],
    [{ echo: ['true', 'false'] }, 'echo'],
    [{ frames: 'DATA' }, 'frames'],
    [{ frames: {} }, 'frames'],
  ])('refuses %j and names %s', (given, field) => {
    expect(() => connectionOptions(given)).toThrow(
      expect.objectContaining<Partial<InvalidInputError>>({
        errors: [{ field, message: expect.stringMatching(/^must be/) as string }],
      }),
    );
  });
});
