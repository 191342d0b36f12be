import type { Logger } from '@nestjs/common';
import { logFailure } from '../shared/log-failure.js';

export type StopSignal = 'SIGTERM' | 'SIGINT';

interface Stop {
  /** Ends the application in order. */
  stop: (signal: StopSignal | undefined) => Promise<void>;
  /** How long that may take, in milliseconds; then the process ends with code 1. */
  maxMs: number;
  logger: Pick<Logger, 'log' | 'error' | 'warn'>;
}

/**
 * SIGTERM and SIGINT stop the process in order, with exit code 0; a second one ends it at once. A
 * promise of a library that is rejected without a listener ends nothing; an exception without a
 * handler stops the process in order too, with exit code 1. No error is printed with its own fields:
 * drivers keep commands there, and with them passwords.
 */
export function stopOnSignals({ stop, maxMs, logger }: Stop): void {
  let isStopping = false;

  const end = async (signal: StopSignal | undefined, code: number) => {
    if (isStopping) return;
    isStopping = true;
    const deadline = setTimeout(() => {
      logger.error(`not stopped within ${maxMs} ms: the process ends`);
      process.exit(1);
    }, maxMs);
    try {
      await stop(signal);
    } catch (error) {
      logFailure(logger, 'error', 'the process could not stop in order', error);
      code = 1;
    }
    clearTimeout(deadline);
    process.exit(code);
  };

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(1);
      logger.log(`${signal}: stopping`);
      void end(signal, 0);
    });
  }
  process.on('unhandledRejection', (reason) => {
    // Closing a connection rejects what waits for it.
    const level = isStopping ? 'warn' : 'error';
    const message = isStopping ? 'rejected while stopping' : 'unhandled rejection';
    logFailure(logger, level, message, reason);
  });
  process.on('uncaughtException', (error) => {
    logFailure(logger, 'error', 'uncaught exception: the process stops', error);
    void end(undefined, 1);
  });
}
