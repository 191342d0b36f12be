import { performance } from 'node:perf_hooks';
import { Inject, Injectable } from '@nestjs/common';
import { Authenticator } from '../../auth/authenticator.service.js';
import type { Credentials } from '../../auth/credentials.js';
import { type Principal, requireAbility } from '../../auth/principal.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { clientNetwork } from '../../shared/client-network.js';
import { UnavailableError } from '../../shared/app-error.js';
import { newId } from '../../shared/ids.js';
import { FanoutService } from '../fanout/fanout.service.js';
import { MAX_PAYLOAD_BYTES, MAX_TOPICS } from '../limits.js';
import type { Limits } from '../protocol.js';
import { ConnectionLimits, isAllowedOrigin } from './admission-rules.js';
import { TokenBucket } from './rate-limit.js';
import type { Admission } from './realtime.connection.js';

/** A client may send as many messages at once as it may in these seconds. */
const BURST_S = 2;

/** The headers that say from which page a client connects. */
interface PageHeaders {
  origin?: string | undefined;
  host?: string | undefined;
}

/** Authentication and limits, before a connection is accepted; the same for every transport. */
@Injectable()
export class AdmissionService {
  readonly limits: Limits;
  private readonly allowedOrigins: readonly string[];
  private readonly connections: ConnectionLimits;
  private isClosed = false;

  constructor(
    @Inject(CONFIG) { realtime }: Config,
    private readonly authenticator: Authenticator,
    private readonly liveEvents: FanoutService,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.limits = limitsOf(realtime);
    this.allowedOrigins = realtime.allowedOrigins;
    this.connections = new ConnectionLimits(this.limits);
  }

  /** Whether a page of this origin may connect; a client without an origin may. */
  isAllowed({ origin, host }: PageHeaders): boolean {
    return isAllowedOrigin(origin, host, this.allowedOrigins);
  }

  /**
   * Authenticates the client and counts its connection.
   *
   * @param address that of the socket: headers of proxies can be made up
   * @throws AppError `unauthenticated`, `role_required`, `too_many_connections`, UnavailableError
   */
  async authenticate(credentials: Credentials, address: string | undefined): Promise<Admission> {
    const principal = await this.authenticator.authenticate(credentials);
    return this.admit(principal, credentials.apiKey, address);
  }

  /** The same for a client whose credential was checked already. */
  admit(principal: Principal, apiKey: string | undefined, address = ''): Admission {
    if (this.isClosed) throw new UnavailableError('This process is about to stop.');
    requireAbility(principal, 'events:receive');
    const { messagesPerSecond, messageBurst } = this.limits;
    return {
      release: this.connections.take(clientNetwork(address), principal.ownerId),
      connectionId: newId('con'),
      principal,
      apiKey,
      budget: new TokenBucket(messagesPerSecond, messageBurst, performance.now()),
      liveEvents: this.liveEvents,
      closeGraceMs: this.timings.closeGraceMs,
    };
  }

  /** From now on every connection is refused. */
  close(): void {
    this.isClosed = true;
  }
}

const limitsOf = (configured: Config['realtime']): Limits => ({
  topics: MAX_TOPICS,
  maxPayloadBytes: MAX_PAYLOAD_BYTES,
  messagesPerSecond: configured.messagesPerSecond,
  messageBurst: configured.messagesPerSecond * BURST_S,
  connectionsPerIp: configured.maxConnectionsPerIp,
  connectionsPerUser: configured.maxConnectionsPerUser,
  connections: configured.maxConnections,
});
