import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { type VerifyOptions, verifyWebhook, type WebhookHeaders } from './verify-webhook.js';

const NOW = Date.parse('2026-01-31T12:00:00.250Z');
const SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const OTHER = `whsec_${Buffer.alloc(64, 8).toString('base64')}`;
const event = { id: 'evt_1', type: 'trade.submitted', timestamp: 'now', data: { n: 'ü ☃ 𝄞' } };
const BODY = JSON.stringify(event);

/** The headers of a request as the official library signs it. */
function signed(body: string, { secrets = [SECRET], id = 'evt_1', at = NOW } = {}) {
  const seconds = new Date(Math.floor(at / 1000) * 1000);
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds.getTime() / 1000),
    'webhook-signature': secrets
      .map((secret) => new Webhook(secret).sign(id, seconds, body))
      .join(' '),
  };
}

interface Given extends VerifyOptions {
  secrets?: string | string[];
  body?: string | Uint8Array;
}

const verify = (
  headers: WebhookHeaders,
  { secrets = SECRET, body = BODY, ...options }: Given = {},
) => verifyWebhook(body, headers, secrets, { now: NOW, ...options });

describe(verifyWebhook, () => {
  it('accepts what the official library signs, and returns the event', async () => {
    const secret = fc.uint8Array({ minLength: 24, maxLength: 64 });
    await fc.assert(
      fc.asyncProperty(
        secret,
        fc.json(),
        fc.stringMatching(/^[\w-]{1,40}$/),
        async (key, body, id) => {
          const secrets = [`whsec_${Buffer.from(key).toString('base64')}`];
          const headers = signed(body, { secrets, id });
          expect(await verify(headers, { body, secrets })).toEqual(JSON.parse(body));
          expect(await verify(headers, { body: Buffer.from(body), secrets })).toEqual(
            JSON.parse(body),
          );
        },
      ),
    );
  });

  it('refuses a request that differs in one byte from what was signed', async () => {
    const headers = signed(BODY);
    const changes = fc.constantFrom('body', 'webhook-id', 'webhook-timestamp', 'webhook-signature');
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(), async (part, position) => {
        const all: Record<string, string> = { ...headers, body: BODY };
        const text = all[part]!;
        const from = part === 'webhook-signature' ? 'v1,'.length : 0;
        const index = from + (position % (text.length - from));
        const other = text[index] === '1' ? '2' : '1';
        const { body, ...changed } = { ...all, [part]: replaceAt(text, index, other) };
        const options = { body: body!, toleranceSeconds: Infinity };
        await expect(verify(changed, options)).rejects.toThrow(
          expect.objectContaining({ code: 'no_matching_signature' }),
        );
      }),
    );
  });

  const replaceAt = (text: string, index: number, character: string) =>
    text.slice(0, index) + character + text.slice(index + 1);

  const FORMS: [form: string, headers: (given: Record<string, string>) => WebhookHeaders][] = [
    ['Headers', (given) => new Headers(given)],
    [
      'an object with names in capitals',
      (given) =>
        Object.fromEntries(Object.entries(given).map(([key, value]) => [key.toUpperCase(), value])),
    ],
    [
      'an object with lists',
      (given) => Object.fromEntries(Object.entries(given).map(([key, value]) => [key, [value]])),
    ],
  ];
  it.each(FORMS)('reads headers in the form of %s', async (_form, headers) => {
    expect(await verify(headers(signed(BODY)))).toEqual(event);
  });

  it('accepts any of several secrets, and any of several signatures', async () => {
    expect(await verify(signed(BODY), { secrets: [OTHER, SECRET] })).toEqual(event);
    expect(await verify(signed(BODY, { secrets: [OTHER, SECRET] }))).toEqual(event);
    const headers = signed(BODY);
    const beside = `v1a,${'x'.repeat(86)}== v1, nonsense ${headers['webhook-signature']}`;
    expect(await verify({ ...headers, 'webhook-signature': beside })).toEqual(event);
  });

  it('accepts a plain-text secret if it was registered as such', async () => {
    const plain = 'a-secret-of-my-own-choice';
    const headers = signed(BODY, { secrets: [`whsec_${Buffer.from(plain).toString('base64')}`] });
    expect(await verify(headers, { secrets: plain })).toEqual(event);
  });

  it('accepts bytes that are a part of a larger buffer', async () => {
    const whole = Buffer.from(`xx${BODY}xx`);
    expect(await verify(signed(BODY), { body: whole.subarray(2, -2) })).toEqual(event);
    const { buffer } = Uint8Array.from(Buffer.from(BODY));
    expect(await verifyWebhook(buffer, signed(BODY), SECRET, { now: NOW })).toEqual(event);
  });

  const TIMES: [ageS: number, toleranceSeconds: number | undefined, code: string | undefined][] = [
    [0, undefined, undefined],
    [299, undefined, undefined],
    [301, undefined, 'too_old'],
    [-299, undefined, undefined],
    [-301, undefined, 'too_new'],
    [301, 600, undefined],
    [2, 1, 'too_old'],
    [1e8, Infinity, undefined],
  ];
  it.each(TIMES)('%d s old with a tolerance of %s: %s', async (ageS, toleranceSeconds, code) => {
    const headers = signed(BODY, { at: NOW - ageS * 1000 });
    const options = toleranceSeconds === undefined ? {} : { toleranceSeconds };
    const outcome = verify(headers, options);
    if (code === undefined) expect(await outcome).toEqual(event);
    else await expect(outcome).rejects.toMatchObject({ name: 'WebhookVerificationError', code });
  });

  const { 'webhook-id': id, ...withoutId } = signed(BODY);
  const BAD: [what: string, headers: WebhookHeaders, options: object, code: string][] = [
    ['no headers', {}, {}, 'missing_header'],
    ['no id', withoutId, {}, 'missing_header'],
    ['an empty id', { ...withoutId, 'webhook-id': '' }, {}, 'missing_header'],
    ['two ids', { ...withoutId, 'webhook-id': [id, id] }, {}, 'missing_header'],
    ['two ids in two cases', { ...signed(BODY), 'Webhook-Id': id }, {}, 'missing_header'],
    ['a time in words', { ...signed(BODY), 'webhook-timestamp': 'now' }, {}, 'invalid_timestamp'],
    [
      'a time with a point',
      { ...signed(BODY), 'webhook-timestamp': '1.5' },
      {},
      'invalid_timestamp',
    ],
    ['a negative time', { ...signed(BODY), 'webhook-timestamp': '-5' }, {}, 'invalid_timestamp'],
    ['another secret', signed(BODY, { secrets: [OTHER] }), {}, 'no_matching_signature'],
    [
      'no signature of ours',
      { ...signed(BODY), 'webhook-signature': 'v2,eA==' },
      {},
      'no_matching_signature',
    ],
    ['no secret', signed(BODY), { secrets: [] }, 'invalid_secret'],
    ['an empty secret', signed(BODY), { secrets: '' }, 'invalid_secret'],
    ['an empty secret beside one', signed(BODY), { secrets: [SECRET, ''] }, 'invalid_secret'],
    ['a secret of nothing', signed(BODY), { secrets: 'whsec_' }, 'invalid_secret'],
    ['a secret that is no base64', signed(BODY), { secrets: 'whsec_a b' }, 'invalid_secret'],
    ['a body that is no JSON', signed('{'), { body: '{' }, 'invalid_payload'],
  ];
  it.each(BAD)('refuses %s', async (_what, headers, options, code) => {
    await expect(verify(headers, options)).rejects.toMatchObject({
      name: 'WebhookVerificationError',
      code,
    });
  });

  it('explains that a parsed body cannot be verified', async () => {
    const body = event as unknown as string;
    await expect(verify(signed(BODY), { body })).rejects.toThrow('not parsed JSON');
  });

  it('does not show secrets in its message', async () => {
    const secret = `whsec_${randomBytes(24).toString('hex')}!`;
    await expect(verify(signed(BODY), { secrets: secret })).rejects.not.toThrow(
      secret.slice('whsec_'.length),
    );
  });
});
