import { performance } from 'node:perf_hooks';
import { Inject, Injectable } from '@nestjs/common';
import { Authenticator } from '../../auth/authenticator.service.js';
import type { Credentials } from '../../auth/credentials.js';
import type { Principal } from '../../auth/principal.js';
import { UnavailableError } from '../../shared/app-error.js';
import { newId } from '../../shared/ids.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { ConnectionLimits } from './connection-limits.js';
import { type Limits, limitsOf } from '../limits.js';
import { isAllowedOrigin } from './origin.js';
import type { Admission } from './realtime.connection.js';
import { TokenBucket } from './token-bucket.js';

/** The headers of whoever wants to connect, as far as they are read. */
interface Page {
  origin?: string | undefined;
  host?: string | undefined;
}

/** What every transport asks before a connection exists. */
@Injectable()
export class AdmissionService {
  readonly limits: Limits;
  private readonly allowedOrigins: readonly string[];
  private readonly places: ConnectionLimits;
  private isClosed = false;

  constructor(
    @Inject(CONFIG) { realtime }: Config,
    private readonly authenticator: Authenticator,
  ) {
    this.limits = limitsOf(realtime);
    this.allowedOrigins = realtime.allowedOrigins;
    this.places = new ConnectionLimits(this.limits);
  }

  /** Whether a page of this origin may connect; whoever is no page may. */
  isAllowed({ origin, host }: Page): boolean {
    return isAllowedOrigin(origin, host, this.allowedOrigins);
  }

  /**
   * Finds out who it is and takes a place for the connection.
   *
   * @param address that of the socket: headers of proxies can be made up
   * @throws AppError `unauthenticated`, `too_many_connections`, UnavailableError
   */
  async authenticate(credentials: Credentials, address: string | undefined): Promise<Admission> {
    const principal = await this.authenticator.authenticate(credentials);
    return this.admit(principal, credentials.apiKey, address);
  }

  /** The same for one whose credential was checked already. */
  admit(principal: Principal, apiKey: string | undefined, address = ''): Admission {
    if (this.isClosed) throw new UnavailableError('This process is about to stop.');
    const { messagesPerSecond, messageBurst } = this.limits;
    return {
      leave: this.places.take(address, principal.ownerId),
      connectionId: newId('con'),
      principal,
      apiKey,
      budget: new TokenBucket(messagesPerSecond, messageBurst, performance.now()),
    };
  }

  /** Nobody is let in any more. */
  close(): void {
    this.isClosed = true;
  }
}
