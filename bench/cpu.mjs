/**
 * CPU time and memory of processes, from Linux' /proc. On other systems these figures are
 * missing, and everything else works.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** `sysconf(_SC_CLK_TCK)`, the unit of the kernel's reports: 100 on all architectures that we use. */
const TICKS_PER_S = 100;
const US_PER_TICK = 1e6 / TICKS_PER_S;

/** @typedef {{ parent: number; own: number; reaped: number }} Usage microseconds */

/**
 * CPU time of a process and its threads.
 * @param {number} pid
 * @returns {number | null} microseconds
 */
export function processCpuUs(pid) {
  return usage(pid)?.own ?? null;
}

/**
 * CPU time of a process and its children, including those that have ended.
 * @param {number} root
 * @returns {number | null} microseconds
 */
export function treeCpuUs(root) {
  const top = usage(root);
  if (!top) return null;
  let sum = top.own + top.reaped;
  for (const name of readdirSync('/proc')) {
    const child = /^\d+$/.test(name) ? usage(Number(name)) : undefined;
    if (child?.parent === root) sum += child.own + child.reaped;
  }
  return sum;
}

/**
 * Busy time of the whole machine, without waiting for disks.
 * @returns {number | null} microseconds, over all cores
 */
export function machineCpuUs() {
  const text = read('/proc/stat');
  if (text === undefined) return null;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = text
    .slice(0, text.indexOf('\n'))
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) * US_PER_TICK;
}

/**
 * Resident memory of a process.
 * @param {number} pid
 * @returns {number | null} KiB
 */
export function residentKib(pid) {
  const [, kib] = /^VmRSS:\s*(\d+) kB$/m.exec(read(`/proc/${pid}/status`) ?? '') ?? [];
  return kib === undefined ? null : Number(kib);
}

/**
 * @param {number} pid
 * @returns {number | undefined}
 */
export const parentOf = (pid) => usage(pid)?.parent;

/**
 * @param {number} pid
 * @returns {string | undefined} the name of its program
 */
export const nameOf = (pid) => read(`/proc/${pid}/comm`)?.trim();

/**
 * @param {number} pid
 * @returns {Usage | undefined}
 */
function usage(pid) {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name, in parentheses, may contain spaces and parentheses (proc_pid_stat(5)).
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [, parent = 0, , , , , , , , , , user = 0, system = 0, childUser = 0, childSystem = 0] =
    fields;
  return {
    parent,
    own: (user + system) * US_PER_TICK,
    reaped: (childUser + childSystem) * US_PER_TICK,
  };
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
