/**
 * Ticks at times that are exact to a fraction of a millisecond. Timers of the event loop are not, so
 * this is a thread of its own that only sleeps.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { nowUs } from './clock.mjs';

/**
 * @param {number} startUs the first tick
 * @param {number} intervalUs
 * @param {() => void} onTick late ticks follow each other; none is skipped
 * @returns {() => Promise<unknown>} stops it
 */
export function startMetronome(startUs, intervalUs, onTick) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { startUs, intervalUs } });
  worker.on('message', onTick);
  return () => worker.terminate();
}

/** @param {{ startUs: number; intervalUs: number }} times */
function tick({ startUs, intervalUs }) {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let dueUs = startUs; ; dueUs += intervalUs) {
    const waitMs = (dueUs - nowUs()) / 1e3;
    if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
    parentPort?.postMessage(0, []);
  }
}

if (!isMainThread) tick(workerData);
