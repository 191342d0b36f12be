import type { Behaviour } from './receiver.js';

/** Refuses every so manieth message once, so that something always waits behind one that failed. */
export function stumbling(every: number): Behaviour {
  const met = new Set<string>();
  return (exchange) => {
    const { messageId } = exchange;
    const isNew = !met.has(messageId);
    met.add(messageId);
    exchange.answer(isNew && met.size % every === 0 ? 500 : 200);
  };
}

/** Refuses every so manieth message for good, so that something dies and lets others pass. */
export function refusing(every: number): Behaviour {
  const fates = new Map<string, number>();
  return (exchange) => {
    const { messageId } = exchange;
    const status = fates.get(messageId) ?? (fates.size % every === every - 1 ? 500 : 200);
    fates.set(messageId, status);
    exchange.answer(status);
  };
}
