/** RFC 3339, 5.6: letters may be small; an offset of hours and minutes, or Z. */
const FORM =
  /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(\.\d+)?(?:Z|([+-])(\d{2}):(\d{2}))$/i;
const MINUTE_MS = 60_000;
const LAST_YEAR = 9_999;

/**
 * Reads an RFC 3339 time. What is finer than a millisecond is cut off. A leap second, 23:59:60 UTC,
 * becomes the first second of the next day: JavaScript and PostgreSQL count without them.
 * @returns undefined if it is none, or is outside of the years 0 to 9999 in UTC
 */
export function parseTimestamp(text: string): Date | undefined {
  const match = FORM.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as Parts;
  const [, , , , , , , fraction = '.', sign, offsetHours = '0', offsetMinutes = '0'] = match;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  if (+offsetHours > 23 || +offsetMinutes > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A day that the month does not have moves the date.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offset = (+offsetHours * 60 + +offsetMinutes) * (sign === '-' ? -1 : 1);
  date.setUTCHours(hour, minute - offset, 0, 0);
  if (second === 60 && (date.getUTCHours() !== 23 || date.getUTCMinutes() !== 59)) return undefined;
  const milliseconds = Number(fraction.slice(1, 4).padEnd(3, '0'));
  // Within the leap second no later than its end.
  const withinMs = Math.min(second * 1_000 + milliseconds, MINUTE_MS);
  const result = new Date(date.getTime() + withinMs);
  return result.getUTCFullYear() >= 0 && result.getUTCFullYear() <= LAST_YEAR ? result : undefined;
}

type Parts = [number, number, number, number, number, number];
