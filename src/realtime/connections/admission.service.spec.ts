import { describe, expect, it } from 'vitest';
import type { Config } from '../../config/env.js';
import { PRODUCTION_TIMINGS } from '../../config/timings.js';
import type { Principal } from '../../auth/principal.js';
import { AdmissionService, type ClientRequest } from './admission.service.js';

const realtime = {
  allowedOrigins: [],
  maxConnections: 100,
  maxConnectionsPerIp: 2,
  maxConnectionsPerUser: 100,
  maxConnectionsPerTenant: 100,
  maxHandshakesPerIp: 2,
  messagesPerSecond: 10,
};

/** Of a process that no client has to authenticate at: the limits before that are what counts. */
const admission = (): AdmissionService =>
  new AdmissionService(
    { realtime, trustedProxies: [] } as unknown as Config,
    undefined as never,
    undefined as never,
    PRODUCTION_TIMINGS,
  );

const principal: Principal = { ownerId: 'o', userId: 'o', roles: new Set(['subscriber']) };

describe('limits per address', () => {
  /** Addresses of one client each; the last one is another client. */
  it.each([
    [
      'an IPv4 address, in either form',
      ['192.0.2.1', '::ffff:192.0.2.1', '192.0.2.1', '192.0.2.2'],
    ],
    [
      'the network of an IPv6 address',
      ['2001:db8:0:1::1', '2001:db8:0:1:a::2', '2001:db8:0:1::3', '2001:db8:0:2::1'],
    ],
  ])('count by %s, before and after authentication', (_, addresses) => {
    const handshakes = admission();
    const [one, same, again, other] = addresses.map((remoteAddress) =>
      handshakes.addressOf({ headers: {}, socket: { remoteAddress } } as ClientRequest),
    ) as [string, string, string, string];
    const end = handshakes.beginHandshake(one);
    handshakes.beginHandshake(same);
    const check = (service: AdmissionService, address: string) => () => service.checkPlace(address);
    expect(check(handshakes, again)).toThrow('connecting');
    expect(check(handshakes, other)).not.toThrow();
    end();
    expect(check(handshakes, again)).not.toThrow();

    const connections = admission();
    const first = connections.admit(principal, undefined, one);
    connections.admit(principal, undefined, same);
    expect(check(connections, again)).toThrow('connections');
    expect(check(connections, other)).not.toThrow();
    first.release();
    expect(check(connections, again)).not.toThrow();
  });
});
