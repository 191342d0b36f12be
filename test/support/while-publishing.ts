import { expect } from 'vitest';
import { eventually } from './eventually.js';

/** So many events are published before the run, and after it. */
const AROUND = 5;

/**
 * Runs something while one event after the other is published: some before it, and some after it.
 *
 * @param publish publishes one event, and returns its id
 * @returns the ids of all of them, in their order
 */
export async function whilePublishing<T>(
  publish: () => Promise<string>,
  run: () => Promise<T>,
): Promise<{ published: string[]; result: T }> {
  const published: string[] = [];
  const over = new AbortController();
  const publishing = (async () => {
    while (!over.signal.aborted) published.push(await publish());
  })();
  try {
    await eventually(() => expect(published.length).toBeGreaterThan(AROUND));
    const result = await run();
    const count = published.length;
    await eventually(() => expect(published.length).toBeGreaterThan(count + AROUND));
    return { published, result };
  } finally {
    over.abort();
    await publishing;
  }
}
