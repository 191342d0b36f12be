import { Baseline1790000000000 } from './1790000000000-baseline.js';
import { WebhookDisabledAt1790000900000 } from './1790000900000-webhook-disabled-at.js';

/** In order; named one by one so that dist, tests and the command line load the same classes. */
export const migrations = [Baseline1790000000000, WebhookDisabledAt1790000900000];
