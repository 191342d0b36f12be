import { createSecretKey, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { describe, expect, it } from 'vitest';
import { sign } from './webhook-request.js';

const key = fc.uint8Array({ minLength: 24, maxLength: 64 }).map((bytes) => Buffer.from(bytes));
const json = fc.json({ maxDepth: 4 });
const now = Math.floor(Date.now() / 1000);

const headersOf = (id: string, signature: string) => ({
  'webhook-id': id,
  'webhook-timestamp': String(now),
  'webhook-signature': signature,
});

describe(sign.name, () => {
  it('is verified by the libraries that receivers use, for any JSON and any of several keys', () => {
    fc.assert(
      fc.property(json, key, key, (body, first, second) => {
        const keys = [first, second].map((bytes) => createSecretKey(bytes));
        const headers = headersOf('evt_1', sign('evt_1', now, Buffer.from(body), keys));
        for (const bytes of [first, second]) {
          new Webhook(bytes.toString('base64')).verify(body, headers);
          new SvixWebhook(bytes.toString('base64')).verify(body, headers);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('fails for another key, and for any changed byte of id, time or body', () => {
    const secret = randomBytes(32);
    const body = '{"a":1}';
    const signature = sign('evt_1', now, Buffer.from(body), [createSecretKey(secret)]);
    const webhook = new Webhook(secret.toString('base64'));
    const headers = headersOf('evt_1', signature);
    expect(() => webhook.verify(body, headers)).not.toThrow();
    expect(() => webhook.verify('{"a":2}', headers)).toThrow();
    expect(() => webhook.verify(body, { ...headers, 'webhook-id': 'evt_2' })).toThrow();
    expect(() =>
      webhook.verify(body, { ...headers, 'webhook-timestamp': String(now - 1) }),
    ).toThrow();
    const other = new Webhook(randomBytes(32).toString('base64'));
    expect(() => other.verify(body, headers)).toThrow();
  });
});
