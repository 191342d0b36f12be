/**
 * The load generator, a process of its own. It publishes in one of two ways:
 *
 * - single events at a fixed rate, on a schedule that does not wait for answers: latencies count from
 *   the time at which an event was due, so a server that stalls cannot slow down its own measurement;
 * - as fast as the server accepts them: either with a limit on pending deliveries, which measures
 *   throughput and not the growth of a queue, or with a number of events, to build a queue.
 */
import { serve } from './child.mjs';
import { nowUs } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { startMetronome } from './metronome.mjs';
import { Publisher } from './publisher.mjs';

/** How many answers are quoted when the server refuses events. */
const QUOTED = 3;
/** A request that has no answer after this time counts as lost. */
const STOP_MS = 10_000;

/**
 * @typedef {import('./publisher.mjs').Target & {
 *   first: number; connections: number; fromUs: number; toUs: number;
 *   ratePerS?: number; maxPending?: number; maxEvents?: number; deliveriesPerEvent: number;
 * }} Run
 */

/** @type {Run} */
let run;
/** @type {Publisher[]} */
let publishers = [];
/** @type {Publisher[]} The last one answered goes first, so that no more are opened than are needed. */
let idle = [];
/** @type {{ sequence: number; dueUs: number }[]} */
let overdue = [];
/** @type {() => Promise<unknown>} */
let stopMetronome = () => Promise.resolve();

let isRunning = false;
let next = 0;
let received = 0;
/** @type {number[]} */
let refused = [];
/** @type {string[]} */
let quotes = [];
let answerLatencies = new Histogram();
let lateness = new Histogram();
/** @type {() => void} */
let onPublished = () => undefined;

/**
 * @param {Publisher} publisher
 * @param {boolean} isAccepted
 * @param {string} answer
 */
function answered(publisher, isAccepted, answer) {
  const { sentAtUs, sequence } = publisher;
  if (sentAtUs >= run.fromUs && sentAtUs < run.toUs) answerLatencies.record(nowUs() - sentAtUs);
  if (!isAccepted) {
    refused.push(...sequencesFrom(sequence));
    if (quotes.length < QUOTED) quotes.push(answer);
  }
  idle.push(publisher);
  if (run.ratePerS === undefined) publishUpToLimit();
  else publishWhatIsDue();
  if (next - run.first === run.maxEvents && idle.length === publishers.length) onPublished();
}

/** At saturation: as many as free connections and the limit allow. */
function publishUpToLimit() {
  const { first, deliveriesPerEvent, maxPending = Infinity, maxEvents = Infinity } = run;
  if (!isRunning) return;
  while (
    idle.length > 0 &&
    next - first < maxEvents &&
    (next - first) * deliveriesPerEvent - received < maxPending
  ) {
    idle.pop()?.publish(next, nowUs());
    next += run.publication.events;
  }
}

/**
 * Of the events of one request.
 * @param {number} first
 */
const sequencesFrom = (first) =>
  Array.from({ length: run.publication.events }, (_, index) => first + index);

/** At a fixed rate: in the order of the schedule; late only when all connections are busy. */
function publishWhatIsDue() {
  while (overdue.length > 0 && idle.length > 0) {
    const { sequence, dueUs } = /** @type {(typeof overdue)[0]} */ (overdue.shift());
    if (dueUs >= run.fromUs && dueUs < run.toUs) lateness.record(nowUs() - dueUs);
    idle.pop()?.publish(sequence, dueUs);
  }
}

function startSchedule(/** @type {number} */ ratePerS) {
  const intervalUs = 1e6 / ratePerS;
  const startUs = nowUs() + 100_000;
  const { first } = run;
  stopMetronome = startMetronome(startUs, intervalUs, () => {
    if (!isRunning) return;
    overdue.push({ sequence: next, dueUs: startUs + (next - first) * intervalUs });
    next += 1;
    publishWhatIsDue();
  });
}

async function untilAnswered() {
  const deadlineUs = nowUs() + STOP_MS * 1e3;
  while ((idle.length < publishers.length || overdue.length > 0) && nowUs() < deadlineUs) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

serve({
  /** @param {Run} options */
  start(options) {
    run = options;
    const { addresses, connections } = run;
    publishers = Array.from({ length: connections }, (_, index) => {
      const address = addresses[index % addresses.length];
      if (!address) throw new Error('There is no address to publish to');
      return new Publisher(address, run, answered);
    });
    idle = [...publishers];
    overdue = [];
    next = run.first;
    received = 0;
    refused = [];
    quotes = [];
    answerLatencies = new Histogram();
    lateness = new Histogram();
    isRunning = true;
    if (run.ratePerS === undefined) publishUpToLimit();
    else startSchedule(run.ratePerS);
  },

  /** @param {number} deliveries of this run that the receiver has received */
  received(deliveries) {
    received = deliveries;
    if (run.ratePerS === undefined) publishUpToLimit();
  },

  /** Answers when the planned number of events has been answered. */
  published: () =>
    new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
      if (next - run.first === run.maxEvents && idle.length === publishers.length) resolve();
      else onPublished = resolve;
    }),

  /** Answers when every event has been answered. */
  async stop() {
    isRunning = false;
    await stopMetronome();
    await untilAnswered();
    const unanswered = publishers.filter((publisher) => !idle.includes(publisher));
    for (const publisher of publishers) publisher.close();
    const lost = [...unanswered, ...overdue].flatMap(({ sequence }) => sequencesFrom(sequence));
    if (lost.length > 0) quotes.push(`${lost.length} without an answer in ${STOP_MS} ms`);
    return {
      events: next - run.first,
      refused: [...refused, ...lost],
      quotes,
      answerLatency: answerLatencies.summary(),
      lateness: lateness.summary(),
    };
  },
});
