import { Test } from '@nestjs/testing';
import { expect, it } from 'vitest';
import { ConfigModule } from '../../src/config/config.module.js';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import type { Config } from '../../src/config/env.js';
import { OutboundHttpClient } from '../../src/outbound/outbound-http.client.js';
import { OutboundModule } from '../../src/outbound/outbound.module.js';

it('configures the client from the configuration and closes it with the application', async () => {
  const config = {
    outbound: { allowHttp: false, allowCidrs: ['127.0.0.0/8'] },
  } as unknown as Config;
  const builder = Test.createTestingModule({
    imports: [ConfigModule.forRoot(config, PRODUCTION_TIMINGS), OutboundModule],
  });
  const module = await builder.compile();
  const client = module.get(OutboundHttpClient);
  expect(client.parseUrl('http://localhost:3000/').ok).toBe(false);
  expect(client.parseUrl('https://localhost:3000/').ok).toBe(true);

  const request = {
    ownerKey: '',
    url: { origin: 'https://10.0.0.1', path: '/' },
    headers: [],
    body: '',
  };
  expect(await client.post({ ...request, timeoutMs: 5_000 })).toMatchObject({ error: 'blocked' });
  await module.close();
  expect(await client.post({ ...request, timeoutMs: 5_000 })).toEqual({
    kind: 'unsent',
    reason: 'stopping',
  });
});
