/** The figures as text for a terminal. */

const DASH = '-';

/** Share of the machine; the kernel's own work on loopback stays below it. */
const NOISY = 0.1;

/**
 * @param {import('./summary.mjs').Row[]} rows
 * @param {Record<string, number>} totals
 * @param {{ verified: number; wrong: number }} signatures
 */
export function reportText(rows, totals, signatures) {
  const parts = [
    table(rows.filter(({ offeredPerS }) => offeredPerS === null).map(throughputRow)),
    table(rows.filter(({ name }) => name !== 'raw').map(latencyRow)),
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
  return `Other programs took up to ${number(largest * 100, 1, 0)} % of the machine: repeat it when it is idle.`;
}

/** @param {import('./summary.mjs').Row} row */
function throughputRow({ name, deliveriesPerS, shareOfRaw, cpuUsPerDelivery: cpu, othersBusy }) {
  const micros = (/** @type {string} */ process) => number(cpu[process], 1, 0);
  return {
    'at saturation': NAMES[name] ?? name,
    'deliveries/s': number(deliveriesPerS, 1, 0),
    'of raw': name === 'raw' ? '1.00' : number(shareOfRaw, 1, 2),
    'CPU-µs/delivery': micros('total'),
    product: micros('product'),
    postgres: micros('postgres'),
    redis: micros('redis'),
    receiver: micros('receiver'),
    sender: micros('sender'),
    'other programs': othersBusy === null ? DASH : `${number(othersBusy * 100, 1, 0)} %`,
  };
}

/** @param {import('./summary.mjs').Row} row */
function latencyRow(row) {
  return {
    'latency in ms': NAMES[row.name] ?? row.name,
    'deliveries/s': number(row.deliveriesPerS, 1, 0),
    'received p50': ms(row.latencyP50Us),
    p99: ms(row.latencyP99Us),
    max: ms(row.latencyMaxUs),
    'accepted p50': ms(row.answerP50Us),
    'p99 ': ms(row.answerP99Us),
    'load late p99': ms(row.latenessP99Us),
  };
}

/** @type {Record<string, string>} */
const NAMES = {
  raw: 'raw client alone',
  fanout10: 'product, fan-out 10',
  fanout1: 'product, fan-out 1',
};

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
 * The first column is text, the others are figures.
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
