/**
 * Writes openapi.json from the built code, without a database, a queue or a port:
 * `npm run openapi`. With `--check` it compares instead.
 */
import { openApiDocument } from '../dist/src/openapi.js';
import { snapshot } from './snapshot.mjs';

await snapshot('openapi.json', await openApiDocument(), 'openapi');
