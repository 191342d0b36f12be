/**
 * Writes asyncapi.json from the built code: `npm run asyncapi`. With `--check` it compares instead.
 * The types of a catalogue are not in it; a running server answers with those, too.
 */
import { asyncApiDocument, BUILT_IN } from '../dist/src/asyncapi/asyncapi-document.js';
import { snapshot } from './snapshot.mjs';

await snapshot('asyncapi.json', asyncApiDocument(BUILT_IN), 'asyncapi');
