/**
 * The load generator, a process of its own. It publishes in one of two ways:
 *
 * - single events at a fixed rate, on a schedule that waits for nobody: latencies count from the moment at which
 *   an event was due, so that a server that stalls cannot slow down its own measurement;
 * - as fast as the server takes them: with a bound on the deliveries that are owed, so that what is
 *   measured is throughput and not the growth of a queue, or with a number of events, to build one.
 */
import { serve } from './child.mjs';
import { nowUs } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { startMetronome } from './metronome.mjs';
import { Publisher } from './publisher.mjs';

/** Answers that are quoted when the server refuses events. */
const QUOTED = 3;
/** What is not answered by then is not going to be. */
const STOP_MS = 10_000;

/**
 * @typedef {import('./publisher.mjs').Target & {
 *   first: number; connections: number; fromUs: number; toUs: number;
 *   ratePerS?: number; maxOwed?: number; maxEvents?: number; owedPerEvent: number;
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
  if (run.ratePerS === undefined) publishWhatIsAllowed();
  else publishWhatIsDue();
  if (next - run.first === run.maxEvents && idle.length === publishers.length) onPublished();
}

/** At saturation: as many as there are connections for, and as the bound allows. */
function publishWhatIsAllowed() {
  const { first, owedPerEvent, maxOwed = Infinity, maxEvents = Infinity } = run;
  if (!isRunning) return;
  while (
    idle.length > 0 &&
    next - first < maxEvents &&
    (next - first) * owedPerEvent - received < maxOwed
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

/** At a fixed rate: in the order of the schedule, late only when all connections are busy. */
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
      if (!address) throw new Error('There is nobody to publish to');
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
    if (run.ratePerS === undefined) publishWhatIsAllowed();
    else startSchedule(run.ratePerS);
  },

  /** @param {number} deliveries that the receiver has had of this run */
  received(deliveries) {
    received = deliveries;
    if (run.ratePerS === undefined) publishWhatIsAllowed();
  },

  /** Answers when as many events as there were to be have their answers. */
  published: () =>
    new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
      if (next - run.first === run.maxEvents && idle.length === publishers.length) resolve();
      else onPublished = resolve;
    }),

  /** Answers when every event has its answer. */
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
