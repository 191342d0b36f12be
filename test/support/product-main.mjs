/**
 * The built product with other timings: `node product-main.mjs <dist> <timings as JSON>`. Everything
 * else is as in `dist/main.js`.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist = '', timings = '{}'] = process.argv.slice(2);

/** @param {string} file */
const urlOf = (file) => pathToFileURL(join(dist, 'src', file)).href;

/** @type {typeof import('../../src/startup/run.js')} */
const { exitOnFailure, run } = await import(urlOf('startup/run.js'));
/** @type {typeof import('../../src/config/env.js')} */
const { loadConfig } = await import(urlOf('config/env.js'));

/** @type {Partial<import("../../src/config/timings.js").Timings>} */
const given = JSON.parse(timings);

const main = async () => run(loadConfig(), given);

main().catch(exitOnFailure);
