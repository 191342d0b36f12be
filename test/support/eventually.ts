import { setTimeout as delay } from 'node:timers/promises';

/** How long a condition may take; a slow machine may have more with TEST_PATIENCE_MS. */
const PATIENCE_MS = Number(process.env['TEST_PATIENCE_MS'] ?? 15_000);
const INTERVAL_MS = 20;

/**
 * Asks until the check passes, and answers with its value. On timeout it fails with the reason of the
 * last check, so that the message says what was seen instead.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await delay(INTERVAL_MS);
  }
}
