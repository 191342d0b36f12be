import type { Behaviour } from './receiver.js';

/** Answers 500 once to every nth message, so that others wait behind one that failed. */
export function failingOnce(every: number): Behaviour {
  const met = new Set<string>();
  return (exchange) => {
    const { messageId } = exchange;
    const isNew = !met.has(messageId);
    met.add(messageId);
    exchange.answer(isNew && met.size % every === 0 ? 500 : 200);
  };
}

/** Answers 500 always to every nth message, so that some become dead letters. */
export function failingForEver(every: number): Behaviour {
  const statuses = new Map<string, number>();
  return (exchange) => {
    const { messageId } = exchange;
    const status = statuses.get(messageId) ?? (statuses.size % every === every - 1 ? 500 : 200);
    statuses.set(messageId, status);
    exchange.answer(status);
  };
}
