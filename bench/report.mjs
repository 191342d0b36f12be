/** The figures as text for a terminal. */
import { RAW } from './plans.mjs';

const DASH = '-';

/** Share of the machine. The kernel's own work on loopback is less than this. */
const NOISY = 0.1;

/**
 * @param {import('./summary.mjs').Row[]} rows
 * @param {import('./ratios.mjs').Ratio[]} ratios
 * @param {Record<string, number>} totals
 * @param {{ verified: number; wrong: number }} signatures
 */
export function reportText(rows, ratios, totals, signatures) {
  const parts = [
    table(rows.filter(({ offeredPerS }) => offeredPerS === null).map(throughputRow)),
    table(rows.filter(({ name }) => name !== RAW).map(latencyRow)),
    table(ratios.map(ratioRow)),
    `${totals['events']} events published, ${totals['refused']} refused; ` +
      `${totals['deliveries']} deliveries, ${totals['missing']} missing, ` +
      `${totals['duplicates']} duplicate, ${totals['misdirected']} misdirected; ` +
      `${signatures.verified} signatures verified, ${signatures.wrong} wrong.`,
    noise(rows),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** @param {import('./summary.mjs').Row[]} rows */
function noise(rows) {
  const largest = Math.max(...rows.map(({ othersBusy }) => othersBusy ?? 0));
  if (largest < NOISY) return '';
  return `Other programs took up to ${number(largest * 100, 1, 0)} % of the machine: repeat the run on an idle machine.`;
}

/**
 * One line about a finished window.
 * @param {import('./bench.mjs').NamedWindow} window
 */
export function progressLine({ name, isMeasured, deliveriesPerS, latency, ...window }) {
  const { refused, missing, quotes } = window;
  const p99 = latency.p99Us === null ? '-' : (latency.p99Us / 1e3).toFixed(1);
  const problems = [
    refused > 0 ? `, ${refused} REFUSED: ${quotes.join(' | ')}` : '',
    missing > 0 ? `, ${missing} MISSING` : '',
  ];
  const what = `${isMeasured ? '' : 'warm-up: '}${name}`;
  return `${what.padEnd(36)} ${deliveriesPerS.toFixed(0).padStart(7)}/s, p99 ${p99} ms${problems.join('')}`;
}

/** @param {import('./summary.mjs').Row} row */
function throughputRow(row) {
  const { name, deliveriesPerS, successesPerS, shareOfRaw, othersBusy } = row;
  const { cpuUsPerDelivery: cpu } = row;
  const micros = (/** @type {string} */ process) => number(cpu[process], 1, 0);
  return {
    'at saturation': name,
    'deliveries/s': number(deliveriesPerS, 1, 0),
    'answered 200': number(successesPerS, 1, 0),
    'of raw': name === RAW ? '1.00' : number(shareOfRaw, 1, 2),
    'CPU-µs/delivery': micros('total'),
    product: micros('product'),
    postgres: micros('postgres'),
    redis: micros('redis'),
    receiver: micros('receiver'),
    sender: micros('sender'),
    machine: micros('machine'),
    'other programs': othersBusy === null ? DASH : `${number(othersBusy * 100, 1, 0)} %`,
  };
}

/** @param {import('./summary.mjs').Row} row */
function latencyRow(row) {
  return {
    'latency in ms': row.name,
    'deliveries/s': number(row.deliveriesPerS, 1, 0),
    'received p50': ms(row.latencyP50Us),
    p99: ms(row.latencyP99Us),
    max: ms(row.latencyMaxUs),
    'accepted p50': ms(row.answerP50Us),
    'p99 ': ms(row.answerP99Us),
    'load late p99': ms(row.latenessP99Us),
  };
}

/** @param {import('./ratios.mjs').Ratio} ratio */
const ratioRow = ({ what, value, unit, digits }) => ({
  'in short': what,
  '': `${number(value, 1, digits)}${unit && ` ${unit}`}`,
});

/** @param {number | null} us */
const ms = (us) => number(us, 1e3, 1);

/**
 * @param {number | null | undefined} value
 * @param {number} unit
 * @param {number} digits
 */
function number(value, unit, digits) {
  if (value === null || value === undefined) return DASH;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return (value / unit).toLocaleString('en', options);
}

/**
 * Aligns a table: the first column is text, the others are numbers.
 * @param {Record<string, string>[]} rows
 */
function table(rows) {
  const [first] = rows;
  if (!first) return '';
  const lines = [Object.keys(first), ...rows.map((row) => Object.values(row))];
  const widths = Object.keys(first).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  '),
    )
    .join('\n');
}
