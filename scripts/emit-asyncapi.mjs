/**
 * Writes asyncapi.json from the built code: `npm run asyncapi`. With `--check` it compares instead.
 * Event types of a catalogue are only in the document of a running server.
 */
import { asyncApiDocument, BUILT_IN } from '../dist/src/asyncapi/asyncapi-document.js';
import { snapshot } from './snapshot.mjs';

await snapshot('asyncapi.json', asyncApiDocument(BUILT_IN), 'asyncapi');
