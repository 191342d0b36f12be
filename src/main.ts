import { loadConfig } from './config/env.js';
import { exitOnFailure, run } from './startup/run.js';

async function main(): Promise<void> {
  await run(loadConfig());
}

main().catch(exitOnFailure);
