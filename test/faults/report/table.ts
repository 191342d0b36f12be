import type { Result } from './results.js';

const HEADER = [
  'fault',
  'processes',
  'accepted',
  'lost',
  'duplicates',
  'first success',
  'drained',
  'invariants',
];

const BEGIN = '<!-- faults:begin -->';
const END = '<!-- faults:end -->';

/** The results as a Markdown table, columns aligned as prettier aligns them. */
export function tableOf(results: readonly Result[]): string {
  const lines = [HEADER, ...results.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const row = (line: readonly string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [row(HEADER), rule, ...lines.slice(1).map(row)].join('\n');
}

const cells = (result: Result): string[] => [
  result.fault,
  result.shape,
  String(result.accepted),
  String(result.lost),
  String(result.duplicates),
  seconds(result.firstSuccessMs),
  seconds(result.drainedMs),
  result.isGood ? 'hold' : 'BROKEN',
];

const seconds = (ms: number | null): string =>
  ms === null ? 'never' : `${(ms / 1000).toFixed(1)} s`;

/** @throws if the document has no markers for the table */
export function withTable(document: string, content: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`there is no ${BEGIN} ... ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${content}\n\n${document.slice(end)}`;
}
