import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { propertyRuns } from '../../support/property-runs.js';
import { BODY_SAMPLES } from './body-samples.js';
import { type Difference, MORE_LENIENT, STRICTER } from './differences.js';
import { anyResponse, foldable } from './generated.js';
import { HEAD_SAMPLES } from './head-samples.js';
import { type Reading, readWithOurs, ReferenceParsers } from './parsers.js';
import type { Contrast, Outcome, Sample } from './sample.js';

/**
 * Our response parser beside undici's and Node's, on the bytes of real connections. The samples say
 * what each makes of them; generated responses look for differences that are not listed.
 *
 * A long run: `PROPERTY_RUNS=10 npx vitest run test/contract/http1`. A failure prints its seed, to
 * be repeated with `FC_SEED`.
 */
const { FC_SEED } = process.env;
const RUNS = { numRuns: propertyRuns(7_500), ...(FC_SEED && { seed: Number(FC_SEED) }) };
const TIMEOUT_MS = 30_000 + 20 * RUNS.numRuns;

const SAMPLES = [...Object.values(HEAD_SAMPLES), ...Object.values(BODY_SAMPLES)].flat();
const bytesOf = (response: string) => Buffer.from(response, 'latin1');

function outcomeOf({ isComplete, status, body, isReusable }: Reading): Outcome {
  if (!isComplete) return status === undefined ? 'broken' : `${status} broken`;
  return `${status} ${JSON.stringify(body)}${isReusable === false ? ' close' : ''}`;
}

/** undici does not show whether it uses a connection again. */
const withoutReuse = (outcome: Outcome) => outcome.replace(/ close$/, '');

const kindsOf = (response: string, kinds: Record<string, Required<Difference>>): Difference[] =>
  Object.values(kinds).filter(({ matches }) => matches(response));

let references: ReferenceParsers;

beforeAll(async () => void (references = await ReferenceParsers.start()));
afterAll(() => references.stop());

describe.each(Object.entries({ ...HEAD_SAMPLES, ...BODY_SAMPLES }))('%s', (_group, samples) => {
  it.each<Sample>(samples)('%s', async (_name, response, ours, contrast) => {
    const bytes = bytesOf(response);
    const outcomes = {
      ours: outcomeOf(readWithOurs(bytes)),
      undici: outcomeOf(await references.readWithUndici(bytes)),
      node: outcomeOf(await references.readWithNode(bytes)),
    };
    const { undici = withoutReuse(ours), node = ours }: Partial<Contrast> = contrast ?? {};
    expect(outcomes).toEqual({ ours, undici, node });
  });
});

describe('the list of differences', () => {
  const isRejected = ([, , ours]: Sample) => ours.endsWith('broken');

  it.each(SAMPLES.filter((sample) => !isRejected(sample)))(
    'covers %s by its kind and no other',
    (_name, response, _ours, contrast) => {
      const expected = contrast?.because.matches ? [contrast.because] : [];
      expect(kindsOf(response, MORE_LENIENT)).toEqual(expected);
    },
  );

  it.each(SAMPLES.filter((sample) => isRejected(sample) && sample[3]))(
    'covers %s, which only our parser rejects',
    (_name, response, _ours, contrast) => {
      expect(kindsOf(response, STRICTER)).toContainEqual(contrast!.because);
    },
  );
});

describe('our parser', () => {
  it('reads every sample alike, wherever it is split', () => {
    for (const [name, response] of SAMPLES) {
      const bytes = bytesOf(response);
      const whole = { ...readWithOurs(bytes), isReusable: null };
      const step = Math.ceil(bytes.length / 500);
      for (let at = 1; at < bytes.length; at += step) {
        // Bytes after a response are seen only if they are in its last piece.
        const split = { ...readWithOurs(bytes, [at]), isReusable: null };
        expect([name, at, split]).toEqual([name, at, whole]);
      }
    }
  });

  it('reads every sample alike, byte by byte', () => {
    for (const [name, response] of SAMPLES) {
      const bytes = bytesOf(response);
      if (bytes.length > 1_000) continue;
      const splits = Array.from({ length: Math.max(0, bytes.length - 1) }, (_, at) => at + 1);
      const split = { ...readWithOurs(bytes, splits), isReusable: null };
      expect([name, split]).toEqual([name, { ...readWithOurs(bytes), isReusable: null }]);
    }
  });
});

describe('a generated response that undici and Node accept with the same status and body', () => {
  it(
    'is accepted by our parser, or is a listed difference',
    { tags: ['properties'], timeout: TIMEOUT_MS },
    async () => {
      await fc.assert(
        fc.asyncProperty(anyResponse, async (response) => {
          const bytes = bytesOf(response);
          if (readWithOurs(bytes).isComplete) return;
          if (kindsOf(response, { ...STRICTER, ...MORE_LENIENT }).length > 0) return;
          const undici = outcomeOf(await references.readWithUndici(bytes));
          const node = withoutReuse(outcomeOf(await references.readWithNode(bytes)));
          if (undici === node) expect(undici).toMatch(/broken$/);
        }),
        { ...RUNS, numRuns: Math.ceil(RUNS.numRuns / 3) },
      );
    },
  );
});

describe('a generated response that our parser accepts', () => {
  it(
    'is accepted by undici and Node with the same status and body, or is a listed difference',
    { tags: ['properties'], timeout: TIMEOUT_MS },
    async () => {
      let compared = 0;
      await fc.assert(
        fc.asyncProperty(anyResponse, async (response) => {
          const bytes = bytesOf(response);
          const ours = readWithOurs(bytes);
          if (!ours.isComplete || kindsOf(response, MORE_LENIENT).length > 0) return;
          compared++;
          const expected = withoutReuse(outcomeOf(ours));
          const undici = outcomeOf(await references.readWithUndici(bytes));
          const node = withoutReuse(outcomeOf(await references.readWithNode(bytes)));
          expect({ undici, node }).toEqual({ undici: expected, node: expected });
        }),
        RUNS,
      );
      // About a quarter: most of the others are rejected by our parser.
      expect(compared).toBeGreaterThan(RUNS.numRuns / 10);
    },
  );

  it('is the same whether its fields are folded or not', () => {
    fc.assert(
      fc.property(foldable, ({ folded, joined }) => {
        expect(readWithOurs(bytesOf(folded))).toEqual(readWithOurs(bytesOf(joined)));
      }),
      RUNS,
    );
  });

  it('is read alike, however it is split', () => {
    fc.assert(
      fc.property(anyResponse, fc.array(fc.nat(), { maxLength: 10 }), (response, cuts) => {
        const bytes = bytesOf(response);
        const splits = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
        const split = { ...readWithOurs(bytes, splits), isReusable: null };
        expect(split).toEqual({ ...readWithOurs(bytes), isReusable: null });
      }),
      RUNS,
    );
  });
});
