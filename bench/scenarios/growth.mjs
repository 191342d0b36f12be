/**
 * The cost of a delivery with few and with very many rows in the tables. The rows are inserted
 * directly. They look like the log of the last hour: they are in the same indexes, and as a rule in
 * the same partitions, as the rows that the window adds.
 *
 * @typedef {import('../bench.mjs').Bench} Bench
 */
import { saturation } from '../plans.mjs';
import { medianOf } from '../summary.mjs';

const SCENARIO = 'growth';
const FAN_OUT = 10;
const HOUR_MS = 3_600_000;

/** @param {Bench} bench */
export async function growth(bench) {
  const { options, rig } = bench;
  for (let round = 0; round < options.rounds; round += 1) {
    for (const rows of options.rows) {
      await fill(bench, rows);
      const what = { name: nameOf(rows), scenario: SCENARIO, fanOut: FAN_OUT };
      await bench.measure(saturation(options, rig.product, what));
    }
  }
  const costs = options.rows.map((rows) => ({
    rows,
    cpuUsPerDelivery: medianOf(
      bench.windows,
      nameOf(rows),
      ({ cpuUsPerDelivery }) => cpuUsPerDelivery['total'] ?? null,
    ),
    deliveriesPerS: medianOf(bench.windows, nameOf(rows), (window) => window.deliveriesPerS),
  }));
  const [first, last] = [costs[0]?.cpuUsPerDelivery, costs.at(-1)?.cpuUsPerDelivery];
  return { costs, costRatio: first && last ? last / first : null };
}

/** @param {number} rows */
const nameOf = (rows) => `${rows.toLocaleString('en')} rows, fan-out ${FAN_OUT}`;

/**
 * Inserts this number of deliveries with one earlier attempt each, and their events.
 * @param {Bench} bench
 * @param {number} rows
 */
async function fill({ rig }, rows) {
  await rig.query('TRUNCATE events, deliveries, delivery_attempts');
  const times = { fromMs: Date.now() - HOUR_MS, stepMs: HOUR_MS / rows };
  const ms = `(${times.fromMs} + n * ${times.stepMs})::bigint`;
  const at = `to_timestamp(${ms} / 1000.0)`;
  const event = typeId(
    'evt',
    `(${times.fromMs} + n / ${FAN_OUT} * ${FAN_OUT * times.stepMs})::bigint`,
    `n / ${FAN_OUT}`,
  );
  const webhook = `(SELECT array_agg(id) FROM webhooks WHERE deleted_at IS NULL)`;
  const series = `generate_series(0, ${rows - 1}) AS n`;
  await rig.query(`
    INSERT INTO events (id, owner_id, type, body, priority, created_at)
    SELECT ${event}, 'bench', 'bench.past', '{"data":"' || repeat('x', 1000) || '"}', 1, ${at}
      FROM generate_series(0, ${rows - 1}, ${FAN_OUT}) AS n`);
  await rig.query(`
    WITH webhook AS (SELECT ${webhook} AS ids)
    INSERT INTO deliveries
      (id, event_id, webhook_id, event_type, status, attempts, last_status_code, created_at, completed_at)
    SELECT ${typeId('dlv', ms, 'n')}, ${event}, ids[1 + n % cardinality(ids)], 'bench.past',
           CASE WHEN n % 100 = 0 THEN 'dead_letter' ELSE 'success' END, 2, 200, ${at}, ${at}
      FROM ${series}, webhook`);
  await rig.query(`
    INSERT INTO delivery_attempts (delivery_id, started_at, number, duration_ms, status_code)
    SELECT ${typeId('dlv', ms, 'n')}, ${at}, 1, 20, 500 FROM ${series}`);
  // Otherwise autovacuum would run during the window.
  for (const table of ['events', 'deliveries', 'delivery_attempts']) {
    await rig.query(`VACUUM (ANALYZE) ${table}`);
  }
  await rig.query('CHECKPOINT').catch(() => undefined);
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * SQL for a TypeID over a UUIDv7 of this millisecond, whose random bits are a number.
 * @param {string} prefix
 * @param {string} ms SQL of a bigint
 * @param {string} number SQL of an integer
 */
function typeId(prefix, ms, number) {
  // `e` starts with the version, 7; `8` contains the variant (RFC 9562).
  return `'${prefix}_' || ${base32(ms, 10)} || 'e008' || ${base32(`(${number})::bigint`, 12)}`;
}

/**
 * SQL for Crockford's base32, most significant first.
 * @param {string} value SQL of a bigint
 * @param {number} characters
 */
function base32(value, characters) {
  const places = Array.from({ length: characters }, (_, index) => (characters - 1 - index) * 5);
  const digit = (/** @type {number} */ shift) =>
    `substr('${ALPHABET}', ((${value} >> ${shift}) & 31)::integer + 1, 1)`;
  return places.map(digit).join(' || ');
}
