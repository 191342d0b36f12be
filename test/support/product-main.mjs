/**
 * The built product with other timings: `node product-main.mjs <dist> <timings as JSON>`. Everything
 * else is as in `dist/main.js`.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , dist, timings] = process.argv;
const load = (file) => import(pathToFileURL(join(dist, 'src', file)).href);

const { exitOnFailure, run } = await load('startup/run.js');
const { loadConfig } = await load('config/env.js');

const main = async () => run(loadConfig(), JSON.parse(timings));

main().catch(exitOnFailure);
