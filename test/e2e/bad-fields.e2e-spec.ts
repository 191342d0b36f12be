import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { type EventBody, expectProblem, read, type WebhookBody } from '../support/bodies.js';
import { tokenFor } from '../support/tokens.js';
import { verify, type WebhookReceiver } from '../support/webhook-receiver.js';
import { World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;
/** As an owner, where loopback is allowed. */
let api: ApiClient;
/** The same where no exception from the address policy is configured. */
let strict: ApiClient;
let webhook: WebhookBody;
let before: unknown;

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  api = (await world.start()).api.as(tokenFor('ann'));
  strict = (await world.start({ OUTBOUND_ALLOW_CIDRS: '' })).api.as(tokenFor('ann'));
  webhook = await read(api.webhook(receiver.url(), ['never.sent']));
  before = await stored();
});
afterAll(() => world.stop());

const stored = (): Promise<unknown> =>
  Promise.all(['/events', '/webhooks', '/api-keys', '/deliveries'].map((path) => api.get(path)));

/** A row of a table with the beginning of its input for the title. */
const shown = ([input = '', expected = '']: string[]): [string, string, string] => [
  JSON.stringify(input).slice(1, -1).slice(0, 70),
  input,
  expected,
];
const beginning = (input: string) => shown([input]);

const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);

describe('what is refused leaves nothing behind:', () => {
  afterAll(async () => expect(await stored()).toEqual(before));

  describe('an event', () => {
    /** Members of the event as JSON text, so that they can be what JavaScript cannot write. */
    it.each(
      [
        ['"data":1', 'type'],
        ['"type":null,"data":1', 'type'],
        ['"type":1,"data":1', 'type'],
        ['"type":["a"],"data":1', 'type'],
        ['"type":{"a":1},"data":1', 'type'],
        ['"type":"","data":1', 'type'],
        ['"type":".","data":1', 'type'],
        ['"type":"a.","data":1', 'type'],
        ['"type":".a","data":1', 'type'],
        ['"type":"a..b","data":1', 'type'],
        ['"type":"a b","data":1', 'type'],
        ['"type":"a.*","data":1', 'type'],
        ['"type":"*","data":1', 'type'],
        ['"type":"ä","data":1', 'type'],
        ['"type":"a\\u0000","data":1', 'type'],
        ['"type":"a\\ud800","data":1', 'type'],
        ['"type":"a\\n","data":1', 'type'],
        [`"type":"${'a'.repeat(129)}","data":1`, 'type'],
        [`"type":"${'a.'.repeat(100_000)}a","data":1`, 'type'],
        ['"type":"a"', 'data'],
        ['"type":"a","data":"\\u0000"', 'data'],
        ['"type":"a","data":{"x":["\\ud800"]}', 'data.x[0]'],
        ['"type":"a","data":{"x":"\\udc00\\ud800"}', 'data.x'],
        ['"type":"a","data":{"x":{"a\\u0000":1}}', 'data.x'],
        ['"type":"a","data":{"x":[0,1e400]}', 'data.x[1]'],
        ['"type":"a","data":-1e400', 'data'],
        ['"type":"a","data":12345678901234567890', 'data'],
        ['"type":"a","data":[-9007199254740993]', 'data[0]'],
        [`"type":"a","data":${nested(65)}`, `data${'[0]'.repeat(64)}`],
        [`"type":"a","data":${nested(100_000)}`, `data${'[0]'.repeat(64)}`],
        ['"type":"a","data":1,"subject":""', 'subject'],
        ['"type":"a","data":1,"subject":null', 'subject'],
        ['"type":"a","data":1,"subject":1', 'subject'],
        ['"type":"a","data":1,"subject":"a\\u0000"', 'subject'],
        ['"type":"a","data":1,"subject":"a\\udfff"', 'subject'],
        ['"type":"a","data":1,"subject":"a\\u001b[31m"', 'subject'],
        [`"type":"a","data":1,"subject":"${'s'.repeat(257)}"`, 'subject'],
        ['"type":"a","data":1,"source":["x"]', 'source'],
        [`"type":"a","data":1,"source":"${'s'.repeat(257)}"`, 'source'],
        ['"type":"a","data":1,"timestamp":"yesterday"', 'timestamp'],
        ['"type":"a","data":1,"timestamp":1769860800000', 'timestamp'],
        ['"type":"a","data":1,"timestamp":"2026-01-31"', 'timestamp'],
        ['"type":"a","data":1,"timestamp":"2026-01-31T12:00:00"', 'timestamp'],
        ['"type":"a","data":1,"timestamp":"2026-02-30T12:00:00Z"', 'timestamp'],
        ['"type":"a","data":1,"timestamp":"2026-01-31T24:00:00Z"', 'timestamp'],
        ['"type":"a","data":1,"timestamp":"0000-01-01T00:00:00+10:00"', 'timestamp'],
        ['"type":"a","data":1,"timestamp":"9999-12-31T23:59:59-10:00"', 'timestamp'],
        ['"type":"a","data":1,"timestamp":"+275760-09-13T00:00:00.000Z"', 'timestamp'],
        ['"type":"a","data":1,"ownerId":"bob"', 'ownerId'],
        ['"type":"a","data":1,"ownerId":""', 'ownerId'],
        ['"type":"a","data":1,"ownerId":null', 'ownerId'],
        ['"type":"a","data":1,"ownerId":"ann\\u200b"', 'ownerId'],
        ['"type":"a","data":1,"priority":"urgent"', 'priority'],
        ['"type":"a","data":1,"priority":1', 'priority'],
        ['"type":"a","data":1,"ttlMs":0', 'ttlMs'],
        ['"type":"a","data":1,"ttlMs":-1', 'ttlMs'],
        ['"type":"a","data":1,"ttlMs":1.5', 'ttlMs'],
        ['"type":"a","data":1,"ttlMs":"1000"', 'ttlMs'],
        ['"type":"a","data":1,"ttlMs":1e400', 'ttlMs'],
        ['"type":"a","data":1,"ttlMs":2592000001', 'ttlMs'],
        ['"type":"a","data":1,"nope":1', 'nope'],
      ].map(shown),
    )('{%s} names its field', async (_, members, field) => {
      expectProblem(await api.request('POST', '/events', `{${members}}`), 422, field);
      const good = '{"type":"a","data":1}';
      const batch = `{"events":[${good},${good},${good},{${members}}]}`;
      const answer = await api.request('POST', '/events/batch', batch);
      expectProblem(answer, 422, `events[3].${field}`);
    });

    it('over 256 KiB is too large, however it is written', async () => {
      const escaped = '\\u00e9'.repeat(128 * 1024);
      for (const data of [
        `"${'x'.repeat(256 * 1024)}"`,
        `"${escaped}"`,
        `[${'1,'.repeat(2e6)}1]`,
      ]) {
        const event = `{"type":"a","data":${data}}`;
        expectProblem(await api.request('POST', '/events', event), 413, 'data');
        const batch = `{"events":[{"type":"a","data":1},${event}]}`;
        expectProblem(await api.request('POST', '/events/batch', batch), 413, 'events[1].data');
      }
    });

    it.each(
      [
        ['{}', 'events'],
        ['{"events":null}', 'events'],
        ['{"events":{}}', 'events'],
        ['{"events":"x"}', 'events'],
        ['{"events":[]}', 'events'],
        ['{"events":[null]}', 'events[0]'],
        ['{"events":[[]]}', 'events[0]'],
        ['{"events":["x"]}', 'events[0]'],
        [`{"events":[${'{"type":"a","data":1},'.repeat(1000)}{"type":"a","data":1}]}`, 'events'],
        [`{"events":[${'1,'.repeat(3_000_000)}1]}`, 'events'],
      ].map(shown),
    )('batch %s names its field', async (_, body, field) => {
      expectProblem(await api.request('POST', '/events/batch', body), 422, field);
    });
  });

  describe('a webhook', () => {
    /** On creation, and as a change of one that exists. */
    async function expectRefused(_: string, members: string, field: string): Promise<void> {
      const rest = ['"url":"https://example.com/"', '"events":["a"]']
        .filter((member) => !members.startsWith(member.slice(0, 6)))
        .join(',');
      const body = `{${members}${rest && `,${rest}`}}`;
      expectProblem(await api.request('POST', '/webhooks', body), 422, field);
      const path = `/webhooks/${webhook.id}`;
      expectProblem(await api.request('PATCH', path, `{${members}}`), 422, field);
    }

    it.each(
      [
        ['"events":null', 'events'],
        ['"events":"a"', 'events'],
        ['"events":[]', 'events'],
        ['"events":[1]', 'events[0]'],
        ['"events":["a",null]', 'events[1]'],
        ['"events":["a",""]', 'events[1]'],
        ['"events":["**"]', 'events[0]'],
        ['"events":["*.a"]', 'events[0]'],
        ['"events":["a.*.b"]', 'events[0]'],
        ['"events":["a.**"]', 'events[0]'],
        ['"events":["a*"]', 'events[0]'],
        ['"events":[".*"]', 'events[0]'],
        ['"events":["a..*"]', 'events[0]'],
        ['"events":["a\\u0000"]', 'events[0]'],
        [`"events":["${'a'.repeat(129)}"]`, 'events[0]'],
        [`"events":[${'"a",'.repeat(100)}"b"]`, 'events'],
        ['"name":""', 'name'],
        ['"name":1', 'name'],
        ['"name":"a\\nb"', 'name'],
        ['"name":"\\ud800"', 'name'],
        [`"name":"${'n'.repeat(101)}"`, 'name'],
        [`"description":"${'n'.repeat(1001)}"`, 'description'],
        ['"description":"\\u0000"', 'description'],
        ['"active":"true"', 'active'],
        ['"active":1', 'active'],
        ['"active":null', 'active'],
        ['"timeoutMs":99', 'timeoutMs'],
        ['"timeoutMs":60001', 'timeoutMs'],
        ['"timeoutMs":1000.5', 'timeoutMs'],
        ['"timeoutMs":"1000"', 'timeoutMs'],
        ['"timeoutMs":1e400', 'timeoutMs'],
        ['"retryPolicy":1', 'retryPolicy'],
        ['"retryPolicy":{}', 'retryPolicy'],
        ['"retryPolicy":[]', 'retryPolicy'],
        ['"retryPolicy":{"schedule":1}', 'retryPolicy'],
        ['"retryPolicy":{"schedule":[-1]}', 'retryPolicy.schedule[0]'],
        ['"retryPolicy":{"schedule":[1.5]}', 'retryPolicy'],
        ['"retryPolicy":{"schedule":[604800001]}', 'retryPolicy.schedule[0]'],
        ['"retryPolicy":{"schedule":["1"]}', 'retryPolicy'],
        [`"retryPolicy":{"schedule":[${'1,'.repeat(50)}1]}`, 'retryPolicy'],
        ['"retryPolicy":{"schedule":[],"maxAttempts":1}', 'retryPolicy.maxAttempts'],
        ['"retryPolicy":{"baseMs":1,"factor":2,"maxMs":10}', 'retryPolicy'],
        ['"retryPolicy":{"baseMs":0,"factor":2,"maxMs":10,"maxAttempts":3}', 'retryPolicy.baseMs'],
        [
          '"retryPolicy":{"baseMs":1,"factor":0.5,"maxMs":10,"maxAttempts":3}',
          'retryPolicy.factor',
        ],
        [
          '"retryPolicy":{"baseMs":1,"factor":1e400,"maxMs":10,"maxAttempts":3}',
          'retryPolicy.factor',
        ],
        [
          '"retryPolicy":{"baseMs":1,"factor":2,"maxMs":10,"maxAttempts":101}',
          'retryPolicy.maxAttempts',
        ],
        ['"headers":"x"', 'headers'],
        ['"headers":[]', 'headers'],
        ['"headers":{"X-A":1}', 'headers.X-A'],
        ['"headers":{"X-A":null}', 'headers.X-A'],
        ['"headers":{"":"x"}', 'headers.'],
        ['"headers":{"X A":"x"}', 'headers.X A'],
        ['"headers":{"X-A":"a\\r\\nb: c"}', 'headers.X-A'],
        ['"headers":{"X-A":"\\u0000"}', 'headers.X-A'],
        ['"headers":{"X-A":"ä"}', 'headers.X-A'],
        ['"headers":{"X-A":" x"}', 'headers.X-A'],
        [`"headers":{"X-A":"${'x'.repeat(1025)}"}`, 'headers.X-A'],
        ['"headers":{"X-A\\r\\nB":"x"}', 'headers.X-A\ufffd\ufffdB'],
        ['"headers":{"Host":"x"}', 'headers.Host'],
        ['"headers":{"content-length":"1"}', 'headers.content-length'],
        ['"headers":{"Webhook-Signature":"x"}', 'headers.Webhook-Signature'],
        ['"headers":{"tidings-attempt":"9"}', 'headers.tidings-attempt'],
        ['"headers":{"Metadata-Flavor":"Google"}', 'headers.Metadata-Flavor'],
        ['"headers":{"constructor.x":"x"}', 'headers.constructor.x'],
        ['"headers":{"X-A":"1","x-a":"2"}', 'headers'],
        [
          `"headers":{${Array.from({ length: 11 }, (_, n) => `"X-${n}":"x"`).join(',')}}`,
          'headers',
        ],
        [
          `"headers":{${Array.from({ length: 100_000 }, (_, n) => `"X-${n}":"\\n"`).join(',')}}`,
          'headers',
        ],
        ['"nope":1', 'nope'],
      ].map(shown),
    )('with %s is refused by the name of its field', expectRefused);

    it.each(['{}', '{"events":["a"]}'])('without a URL is refused: %s', async (body) => {
      expectProblem(await api.request('POST', '/webhooks', body), 422, 'url');
    });

    it('without patterns, or without any change, is refused', async () => {
      const create = await api.request('POST', '/webhooks', { url: 'https://example.com/' });
      expectProblem(create, 422, 'events');
      expectProblem(await api.request('PATCH', `/webhooks/${webhook.id}`, {}), 422, '(body)');
    });

    it.each(
      [
        '""',
        '"short"',
        'null',
        '1',
        '"with a space in it.."',
        '"umlaut-ä-umlaut-ä-umlaut"',
        '"nul-\\u0000-nul-nul-nul-nul"',
        '"whsec_"',
        '"whsec_c2hvcnQ="',
        '"whsec_not base64, but long enough to be one"',
        `"${'x'.repeat(65)}"`,
        `"whsec_${Buffer.alloc(65).toString('base64')}"`,
        `"${'x'.repeat(100_000)}"`,
      ].map(beginning),
    )('with the secret %s is refused, and no answer repeats it', async (_, secret) => {
      const body = `{"url":"https://example.com/","events":["a"],"secret":${secret}}`;
      const rotation = `/webhooks/${webhook.id}/rotate-secret`;
      for (const answer of [
        await api.request('POST', '/webhooks', body),
        await api.request('POST', rotation, `{"secret":${secret}}`),
      ]) {
        const problem = expectProblem(answer, 422, 'secret');
        const text = secret.slice(1, -1);
        if (text.length > 8) expect(JSON.stringify(problem)).not.toContain(text);
      }
    });

    it.each(['-1', '1.5', '"0"', 'null', '604800001', '1e400', 'true'])(
      'rotation with an overlap of %s ms is refused',
      async (overlapMs) => {
        const path = `/webhooks/${webhook.id}/rotate-secret`;
        const answer = await api.request('POST', path, `{"overlapMs":${overlapMs}}`);
        expectProblem(answer, 422, 'overlapMs');
      },
    );

    it.each(
      [
        // Of each class of addresses and spellings, some; the pure rules have their own tables.
        'http://127.0.0.1/',
        'http://127.1/',
        'http://2130706433/',
        'http://0x7f000001/',
        'http://0177.0.0.1/',
        'http://0177.0.0.0x1/',
        'http://425.510.425.510/',
        'http://256.1.1.1/',
        'http://0.0.0.0/',
        'http://[::]/',
        'http://[::1]/',
        'http://１２７.０.０.１/',
        'http://①/',
        'http://127。0。0。1/',
        'http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/',
        'http://loc\u00adalhost/',
        'http://%31%32%37.0.0.1/',
        'http://127.0.0.1./',
        'http://localhost./',
        'http://./',
        'http://foo.localhost/',
        'http://intranet/',
        'http://printer.local/',
        'http://[::ffff:127.0.0.1]/',
        'http://[::127.0.0.1]/',
        'http://[::ffff:0:127.0.0.1]/',
        'http://[64:ff9b::7f00:1]/',
        'http://[2002:7f00:1::]/',
        'http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/',
        'http://[::5efe:10.0.0.1]/',
        'http://[fe80::1]/',
        'http://[fd00::1]/',
        'http://[ff02::1]/',
        'http://[3fff::1]/',
        'http://[fe80::1%25eth0]/',
        'http://10.0.0.1/',
        'http://172.16.0.1/',
        'http://192.168.0.1/',
        'http://100.64.0.1/',
        'http://198.18.0.1/',
        'http://224.0.0.1/',
        'http://255.255.255.255/',
        'http://169.254.169.254/latest/meta-data/',
        'http://168.63.129.16/',
        'http://[fd00:ec2::254]/',
        'http://metadata.google.internal/',
        'http://user@example.com/',
        'http://example.com@127.0.0.1/',
        'http://127.0.0.1\\@example.com/',
        'http://example.com/#@127.0.0.1/',
        'http:example.com',
        'http:/example.com/',
        'http:///example.com/',
        '//example.com/',
        'ht\ntp://example.com/',
        ' http://example.com/',
        'http://exa mple.com/',
        'http://example.com/\u0000',
        'http://example.com/\ud800',
        'file:///etc/passwd',
        'ftp://example.com/',
        'gopher://127.0.0.1:6379/_x',
        'javascript:alert(1)',
        'data:text/html,x',
        'ws://example.com/',
        'http+unix://%2Fvar%2Frun%2Fdocker.sock/x',
        'http://example.com:0/',
        'http://example.com:22/',
        'http://example.com:6379x/',
        'http://example.com:65536/',
        `http://example.com/${'a'.repeat(2048)}`,
        `http://${'a'.repeat(64)}.example.com/`,
        `http://${'a.'.repeat(127)}example.com/`,
        '',
        'example.com',
      ].map(beginning),
    )('to the URL %s is refused', async (_, url) => {
      for (const [method, path] of [
        ['POST', '/webhooks'],
        ['PATCH', `/webhooks/${webhook.id}`],
      ] as const) {
        const body = method === 'POST' ? { url, events: ['a'] } : { url };
        expectProblem(await strict.request(method, path, body), 422, 'url');
      }
    });
  });

  describe('an API key', () => {
    it.each([
      ['{}', 'name'],
      ['{"name":1}', 'name'],
      ['{"name":"a\\u0000"}', 'name'],
      ['{"name":"a","roles":[]}', 'roles'],
      ['{"name":"a","roles":["root"]}', 'roles[0]'],
      ['{"name":"a","roles":"admin"}', 'roles'],
      ['{"name":"a","topics":["a..b"]}', 'topics[0]'],
      ['{"name":"a","topics":[]}', 'topics'],
      ['{"name":"a","expiresAt":"2020-01-01T00:00:00Z"}', 'expiresAt'],
      ['{"name":"a","expiresAt":"9999-12-31T23:59:59-10:00"}', 'expiresAt'],
      ['{"name":"a","ownerId":"a\\u202e"}', 'ownerId'],
    ])('%s names its field', async (body, field) => {
      expectProblem(await api.request('POST', '/api-keys', body), 422, field);
    });
  });
});

describe('what only looks bad is accepted:', () => {
  it.each(['http://172.32.0.1/', 'http://100.63.255.254/', 'https://100.128.0.1:8443/'])(
    'the URL %s beside a private block',
    async (url) => {
      const { id, ...created } = await read<WebhookBody>(strict.webhook(url, ['never.sent']));
      expect(created.url).toBe(url);
      await strict.delete(`/webhooks/${id}`);
    },
  );

  it('names of members that every object has arrive as they were sent', async () => {
    const own = await read<WebhookBody>(api.webhook(receiver.url('/names'), ['names.*']));
    const data =
      '{"constructor":{"prototype":{"x":1}},"prototype":null,"toString":"x","hasOwnProperty":[],' +
      '"__proto":1,"proto__":2,"toJSON":{"a":1}}';
    await api.post('/events', `{"type":"names.all","data":${data}}`, 202);
    const [request] = await receiver.expectRequests(1, '/names');
    verify(request!, own.secret);
    expect(request!.body).toContain(`"data":${data}}`);
  });

  it.each(
    [
      ['-0', '0'],
      ['1e2', '100'],
      ['9007199254740991', '9007199254740991'],
      ['1.5e-300', '1.5e-300'],
      ['5e-324', '5e-324'],
      ['null', 'null'],
      ['""', '""'],
      ['"\\ud83d\\ude00"', '"😀"'],
      ['"\\u2028<script>"', '"\u2028<script>"'],
      ['"\\u001b\\u007f"', '"\\u001b\u007f"'],
      [nested(64), nested(64)],
    ].map(shown),
  )('the data %s', async (_, given, kept) => {
    const { id } = await read<EventBody>(
      api.post('/events', `{"type":"odd.data","data":${given}}`, 202),
    );
    const { data } = await read<EventBody>(api.get(`/events/${id}`));
    expect(JSON.stringify(data)).toBe(kept);
  });

  it('an event of exactly 256 KiB', async () => {
    const owner = await read<WebhookBody>(api.webhook(receiver.url('/large'), ['large.*']));
    const { id, timestamp } = await read<EventBody>(api.publish({ type: 'large.x', data: '' }));
    const envelope = { id, type: 'large.y', timestamp, data: '' };
    const room = 256 * 1024 - Buffer.byteLength(JSON.stringify(envelope));
    await api.post('/events', { type: 'large.y', data: 'x'.repeat(room) }, 202);
    const tooLong = { type: 'large.y', data: 'x'.repeat(room + 1) };
    expectProblem(await api.request('POST', '/events', tooLong), 413, 'data');
    const requests = await receiver.expectRequests(2, '/large');
    const large = requests.find(({ json }) => json.type === 'large.y');
    expect(Buffer.byteLength(large!.body)).toBe(256 * 1024);
    verify(large!, owner.secret);
  });

  it('a byte order mark, and a charset that is UTF-8', async () => {
    const event = '{"type":"odd.mark","data":1}';
    expect(await api.post('/events', `\ufeff${event}`, 202)).toMatchObject({ type: 'odd.mark' });
    for (const charset of ['utf-8', 'UTF-8', '"utf-8"', 'us-ascii']) {
      const headers = { 'content-type': `application/json; charset=${charset}` };
      await api.post('/events', event, 202, headers);
    }
  });

  it('no body where every field has a default, whatever content type is named', async () => {
    const path = `/webhooks/${webhook.id}`;
    for (const headers of [undefined, { 'content-type': 'application/json' }]) {
      await api.post(`${path}/rotate-secret`, undefined, 200, headers);
      const tested = await api.post(`${path}/test`, undefined, 200, headers);
      expect(tested).toMatchObject({ delivered: true });
    }
  });
});
