/** Computes the CPU cost per delivery from the CPU times of all processes before and after a window. */

/** @typedef {Record<string, number | null>} Cpu microseconds by process; null where unknown */

/**
 * The raw client uses neither the product nor the stores, so their time does not count for it. For a
 * server that this run has not started the times are unknown.
 * @param {'load' | 'raw'} sender
 * @param {readonly ({ pid: number | undefined } | undefined)[] | undefined} parts
 * @param {(pid: number) => number | null} read
 */
export function cpuOf(sender, parts, read) {
  if (sender === 'raw') return 0;
  if (!parts) return null;
  const used = parts.map((part) => {
    if (!part) return 0;
    return part.pid === undefined ? null : read(part.pid);
  });
  return used.some((us) => us === null)
    ? null
    : used.reduce((/** @type {number} */ sum, us) => sum + (us ?? 0), 0);
}

const PROCESSES = ['product', 'postgres', 'redis', 'receiver', 'sender'];

/**
 * @param {Cpu} before
 * @param {Cpu} after
 * @param {number} deliveries
 * @param {number} capacityUs of all cores during the window
 * @returns {Pick<import('./measure.mjs').Window, 'cpuUsPerDelivery' | 'othersBusy'>}
 */
export function perDelivery(before, after, deliveries, capacityUs) {
  /** @param {string} name */
  const used = (name) => {
    const [start, end] = [before[name], after[name]];
    return typeof start === 'number' && typeof end === 'number' ? end - start : null;
  };
  const parts = PROCESSES.map((name) => /** @type {const} */ ([name, used(name)]));
  const total = parts.some(([, us]) => us === null)
    ? null
    : parts.reduce((sum, [, us]) => sum + (us ?? 0), 0);
  const machine = used('machine');
  const all = [...parts, /** @type {const} */ (['total', total])];
  const perOne = [...all, /** @type {const} */ (['machine', machine])].map(([name, us]) => [
    name,
    us === null || deliveries === 0 ? null : us / deliveries,
  ]);
  return {
    cpuUsPerDelivery: Object.fromEntries(perOne),
    othersBusy: machine === null || total === null ? null : (machine - total) / capacityUs,
  };
}
