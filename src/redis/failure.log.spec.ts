import { inspect } from 'node:util';
import { Logger } from '@nestjs/common';
import { describe, expect, it, vi } from 'vitest';
import { FailureLog } from './failure.log.js';

describe(FailureLog, () => {
  const logged = () => {
    const logger = new Logger();
    const warn = vi.spyOn(logger, 'warn').mockImplementation(() => undefined);
    const log = vi.spyOn(logger, 'log').mockImplementation(() => undefined);
    return { failures: new FailureLog(logger, 'no Redis', 'Redis is back'), warn, log };
  };

  it('logs the first of many, and the end once', () => {
    const { failures, warn, log } = logged();
    for (let n = 0; n < 1_000; n++) failures.failed(new Error('refused'));
    expect(warn).toHaveBeenCalledTimes(1);
    failures.worked();
    failures.worked();
    expect(log.mock.calls).toEqual([['Redis is back']]);
  });

  it('logs nothing of a command, which may have a password, whatever the logger shows', () => {
    const { failures, warn } = logged();
    const command = { name: 'auth', args: ['u', 'the-password'] };
    failures.failed(Object.assign(new Error('WRONGPASS'), { command }));
    const text = inspect(warn.mock.calls, { depth: 10 });
    expect(text).toContain('WRONGPASS');
    expect(text).not.toContain('the-password');
  });
});
