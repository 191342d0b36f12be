import { setTimeout as delay } from 'node:timers/promises';

/** How long a condition may take; set TEST_TIMEOUT_MS for slow machines. */
const TIMEOUT_MS = Number(process.env['TEST_TIMEOUT_MS'] ?? 15_000);
const INTERVAL_MS = 20;

/**
 * Repeats the check until it passes, and returns its value. On timeout it fails with the error of the
 * last check, so that the message shows the last state.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  timeoutMs = TIMEOUT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await delay(INTERVAL_MS);
  }
}
