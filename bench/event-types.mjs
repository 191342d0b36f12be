/**
 * Which event types a webhook of the benchmark subscribes to. A set is what one scenario registers:
 * its hundred webhooks receive no events of other sets, and are removed when the scenario ends.
 */
import { WEBHOOKS } from './receipts.mjs';

/** The set that most scenarios share. */
export const STEADY = 'steady';

const FAN_OUTS = [10, 1];

/**
 * The type of the events that go to one group of webhooks; it ends in the group's two digits.
 * @param {number} fanOut
 * @param {number} group
 * @param {string} [set]
 */
export const eventType = (fanOut, group, set = STEADY) =>
  `bench.${set}.fan${twoDigits(fanOut)}.${twoDigits(group)}`;

/**
 * Each webhook subscribes to two types: the one of its group of ten, and its own.
 * @param {number} webhook index, from 0
 * @param {string} [set]
 */
export const typesOf = (webhook, set) =>
  FAN_OUTS.map((fanOut) => eventType(fanOut, Math.floor(webhook / fanOut), set));

/**
 * Every type of a set, for servers where types must be registered first.
 * @param {string} [set]
 */
export const allTypes = (set) =>
  FAN_OUTS.flatMap((fanOut) =>
    Array.from({ length: WEBHOOKS / fanOut }, (_, group) => eventType(fanOut, group, set)),
  );

/** @param {number} number */
export const twoDigits = (number) => String(number).padStart(2, '0');
