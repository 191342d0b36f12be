const SHARE_OF_A_SHORT_RUN = 0.2;

/**
 * How many examples a property test over HTTP, a socket or PostgreSQL uses. `npm test` uses a fifth;
 * `npm run test:properties` all of them, or PROPERTY_RUNS times as many.
 */
export function propertyRuns(full: number): number {
  const factor = Number(process.env['PROPERTY_RUNS'] ?? SHARE_OF_A_SHORT_RUN);
  return Math.max(1, Math.ceil(full * factor));
}
