/** The memory of an idle connection. */
import { setTimeout as delay } from 'node:timers/promises';
import { residentKib } from '../../cpu.mjs';
import { addressOf } from '../live-rig.mjs';
import { newOutcome } from '../outcome.mjs';

/** @typedef {import('../live-rig.mjs').LiveRig} LiveRig */
/** @typedef {import('../options.mjs').Options} Options */
/** @typedef {import('../outcome.mjs').Outcome} Outcome */

/**
 * @param {LiveRig} rig
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function memory(rig, { idle, idleMs }) {
  const outcome = newOutcome();
  const { server, address } = await rig.startPlain();
  const plain = await kibPerConnection(rig, server.pid, { count: idle, idleMs }, () =>
    rig.connect(idle, address, { isPlain: true }),
  );
  await rig.all('disconnect');
  await server.stop();
  for (const protocol of /** @type {const} */ (['socket.io', 'websocket'])) {
    const product = await rig.startProduct();
    const value = await kibPerConnection(rig, product.pid, { count: idle, idleMs }, () =>
      rig.connect(idle, addressOf(product), { protocol }),
    );
    outcome.figures.push({
      name: `memory per idle connection over ${protocol}, of ${idle}`,
      value,
      ...(protocol === 'socket.io' ? { plain } : {}),
      unit: 'KiB',
      goal: '≤ 30 KiB',
    });
    await rig.all('disconnect');
    await product.stop();
  }
  return outcome;
}

/**
 * @param {LiveRig} rig
 * @param {number} pid
 * @param {{ count: number; idleMs: number }} plan
 * @param {() => Promise<unknown>} connect
 */
async function kibPerConnection(rig, pid, { count, idleMs }, connect) {
  await delay(idleMs);
  const before = residentKib(pid);
  await connect();
  await delay(idleMs);
  const after = residentKib(pid);
  return before === null || after === null ? null : (after - before) / count;
}
