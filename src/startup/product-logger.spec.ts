import { afterEach, describe, expect, it, vi } from 'vitest';
import { logFailure } from '../shared/log-failure.js';
import { ProductLogger } from './product-logger.js';

afterEach(() => {
  vi.restoreAllMocks();
});

/** What the logger writes to a stream while this runs. */
function written(stream: 'stdout' | 'stderr', act: () => void): string {
  let text = '';
  const write = vi.spyOn(process[stream], 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  act();
  write.mockRestore();
  return text;
}

const failure = () =>
  Object.assign(new Error('insert failed', { cause: new TypeError('socket closed') }), {
    code: '08006',
    parameters: ['whsec_secret'],
  });

const logged = (production: boolean, stream: 'stdout' | 'stderr' = 'stderr', error = failure()) =>
  written(stream, () => {
    const logger = new ProductLogger({ production, logLevel: 'warn' });
    logger.setContext('Test');
    const level = stream === 'stderr' ? 'error' : 'warn';
    logFailure(logger, level, 'the outcome was not written', error, { deliveryId: 'dlv_1' });
  });

describe('a failure in the log', () => {
  it('is text with fields, stack, code and cause, and without other fields of the error', () => {
    const text = logged(false);
    expect(text).toContain('the outcome was not written deliveryId=dlv_1: Error: insert failed\n');
    expect(text).toMatch(/product-logger\.spec\.ts:\d+/);
    expect(text).toContain('(08006)\ncaused by TypeError: socket closed\n');
    expect(text).not.toContain('whsec_secret');
  });

  it.each(['stdout', 'stderr'] as const)('is one JSON object in production on %s', (stream) => {
    const text = logged(true, stream);
    expect(text.trimEnd()).not.toContain('\n');
    expect(text).not.toContain('whsec_secret');
    expect(JSON.parse(text)).toMatchObject({
      level: stream === 'stderr' ? 'error' : 'warn',
      context: 'Test',
      message: 'the outcome was not written',
      deliveryId: 'dlv_1',
      error: {
        name: 'Error',
        message: 'insert failed',
        code: '08006',
        stack: expect.stringContaining('product-logger.spec.ts'),
        cause: { name: 'TypeError', message: 'socket closed' },
      },
    });
  });

  it('can be an error that is its own cause', () => {
    const error = failure();
    error.cause = error;
    expect(JSON.parse(logged(true, 'stderr', error))).toMatchObject({
      error: { cause: { cause: { message: 'insert failed' } } },
    });
  });

  it('cannot replace what every record has', () => {
    const text = written('stderr', () =>
      logFailure(
        new ProductLogger({ production: true, logLevel: 'warn' }),
        'error',
        'the message',
        new Error('no'),
        { level: 'fields', timestamp: 0 },
      ),
    );
    expect(JSON.parse(text)).toMatchObject({ level: 'error', message: 'the message' });
  });
});
