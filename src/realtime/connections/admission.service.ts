import type { IncomingMessage } from 'node:http';
import { performance } from 'node:perf_hooks';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { Authenticator } from '../../auth/authenticator.service.js';
import type { Credentials } from '../../auth/credentials.js';
import {
  connectionOfGuest,
  guestOf,
  isGuest,
  type Principal,
  requireAbility,
} from '../../auth/principal.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config, GuestsConfig } from '../../config/env.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { TrustedProxies } from '../../http/forwarded.js';
import { clientNetwork } from '../../shared/client-network.js';
import { isStoreOutage } from '../../database/sql-errors.js';
import { AppError, UnavailableError } from '../../shared/app-error.js';
import { newId } from '../../shared/ids.js';
import { logFailure } from '../../shared/log-failure.js';
import type { CloseReason } from '../close-codes.js';
import { FanoutService } from '../fanout/fanout.service.js';
import { MAX_PAYLOAD_BYTES, MAX_TOPICS } from '../limits.js';
import type { Limits } from '../protocol.js';
import { ConnectionLimits, Handshakes, isAllowedOrigin } from './admission-rules.js';
import { MessageBudget } from './rate-limit.js';
import type { Admission } from './realtime.connection.js';

/** A client may send as many messages at once as it may in these seconds. */
const BURST_S = 2;

/** What is known of a client before it has presented a credential. */
export type ClientRequest = Pick<IncomingMessage, 'headers' | 'socket'>;

/** Authentication and limits, before a connection is accepted; the same for every transport. */
@Injectable()
export class AdmissionService {
  /** Of connections with a credential, and of guests, who never take what is meant for the others. */
  private readonly users: Counted;
  private readonly guests: (Counted & { ownerId: string }) | undefined;
  private readonly allowedOrigins: readonly string[];
  private readonly proxies: TrustedProxies;
  private readonly handshakes: Handshakes;
  private isClosed = false;
  private isStoreAway = false;
  private readonly logger = new Logger(AdmissionService.name);

  constructor(
    @Inject(CONFIG) { realtime, trustedProxies }: Config,
    private readonly authenticator: Authenticator,
    private readonly liveEvents: FanoutService,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.users = counted(limitsOf(realtime));
    const { guests } = realtime;
    this.guests = guests && { ownerId: guests.ownerId, ...counted(limitsOfGuests(guests)) };
    this.allowedOrigins = realtime.allowedOrigins;
    this.proxies = new TrustedProxies(trustedProxies);
    this.handshakes = new Handshakes({
      total: realtime.maxConnections,
      perIp: realtime.maxHandshakesPerIp,
    });
  }

  /**
   * Checks that the page of the client may connect; a client without an origin is none.
   *
   * @throws AppError `origin_not_allowed`
   */
  checkPage(request: ClientRequest): void {
    const refusal = this.refusalOfPage(request);
    if (refusal) throw refusal;
  }

  /** Undefined: the page may connect, or the client is none. */
  refusalOfPage(request: ClientRequest): AppError | undefined {
    const { origin, 'sec-fetch-site': site } = request.headers;
    const host = this.proxies.hostOf(request);
    const page = { origin, host, site };
    if (isAllowedOrigin(page, this.allowedOrigins)) return undefined;
    return new AppError(
      'forbidden',
      'origin_not_allowed',
      'Pages of this origin may not connect: it is neither the host that was asked for, nor in ' +
        'REALTIME_ALLOWED_ORIGINS.',
    );
  }

  /** What the limits per address count the client by: its address, or its network of IPv6. */
  addressOf(request: ClientRequest): string {
    return clientNetwork(this.proxies.addressOf(request));
  }

  /**
   * Refuses what can be refused before the client has presented a credential.
   *
   * @param address of {@link addressOf}
   * @throws AppError `draining`, `too_many_connections`, `too_many_handshakes`
   */
  checkPlace(address: string): void {
    this.requireOpen();
    this.users.connections.check(address);
    this.handshakes.check(address);
  }

  /**
   * Counts a client that has not been authenticated yet.
   *
   * @returns uncounts it; may be called again
   */
  beginHandshake(address: string): () => void {
    return this.handshakes.begin(address);
  }

  /**
   * {@link checkPlace}, and counts the client while it is authenticated.
   *
   * @throws AppError `draining`, `too_many_connections`, `too_many_handshakes`, and what `run` throws
   */
  async duringHandshake<T>(address: string, run: () => Promise<T>): Promise<T> {
    this.checkPlace(address);
    const end = this.beginHandshake(address);
    try {
      return await run();
    } finally {
      end();
    }
  }

  /**
   * Authenticates the client and counts its connection. One that presents no credential at all is a
   * guest, where there are guests.
   *
   * @param address of {@link addressOf}
   * @throws AppError `unauthenticated`, `role_required`, `draining`, `too_many_connections`,
   * UnavailableError
   */
  async authenticate(credentials: Credentials, address: string): Promise<Admission> {
    const principal = await this.principalOf(credentials);
    return this.admit(principal, credentials.apiKey, address);
  }

  /** @throws AppError `unauthenticated`, UnavailableError */
  async principalOf(credentials: Credentials): Promise<Principal> {
    if (this.guests && isNone(credentials)) return guestOf(this.guests.ownerId, newId('con'));
    try {
      const principal = await this.authenticator.authenticate(credentials);
      this.isStoreAway = false;
      return principal;
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw this.unavailable(error);
    }
  }

  /** Every client tries again and again while a store is away: that is logged once. */
  private unavailable(error: unknown): AppError {
    const isOutage = isStoreOutage(error);
    if (!isOutage || !this.isStoreAway) {
      logFailure(this.logger, 'error', 'the credentials of clients cannot be checked', error);
    }
    this.isStoreAway = isOutage;
    return new UnavailableError('The credential cannot be checked at the moment.');
  }

  /** The same for a client whose credential was checked already. */
  admit(principal: Principal, apiKey: string | undefined, address: string): Admission {
    this.requireOpen();
    requireAbility(principal, 'events:receive');
    const guest = isGuest(principal);
    const { limits, connections } = (guest ? this.guests : undefined) ?? this.users;
    const { messagesPerSecond, messageBurst } = limits;
    return {
      release: connections.take(address, principal),
      connectionId: guest ? connectionOfGuest(principal) : newId('con'),
      principal,
      limits,
      address,
      apiKey,
      budget: new MessageBudget(messagesPerSecond, messageBurst, performance.now()),
      liveEvents: this.liveEvents,
      closeGraceMs: this.timings.closeGraceMs,
    };
  }

  /** From now on every connection is refused. */
  close(): void {
    this.isClosed = true;
  }

  private requireOpen(): void {
    if (!this.isClosed) return;
    const detail = 'This process is about to stop.';
    throw new AppError('unavailable', 'draining' satisfies CloseReason, detail);
  }
}

/** Limits, and the connections that count towards them. */
interface Counted {
  limits: Limits;
  connections: ConnectionLimits;
}

const counted = (limits: Limits): Counted => ({
  limits,
  connections: new ConnectionLimits(limits),
});

/** An empty header or parameter is a credential that was presented, and is refused. */
const isNone = ({ authorization, apiKey }: Credentials): boolean =>
  authorization === undefined && apiKey === undefined;

/** Each guest is a user of its own. */
const limitsOfGuests = (configured: GuestsConfig): Limits => ({
  topics: MAX_TOPICS,
  maxPayloadBytes: MAX_PAYLOAD_BYTES,
  messagesPerSecond: configured.messagesPerSecond,
  messageBurst: configured.messagesPerSecond * BURST_S,
  connectionsPerIp: configured.maxConnectionsPerIp,
  connectionsPerUser: 1,
  connectionsPerTenant: configured.maxConnections,
  connections: configured.maxConnections,
});

const limitsOf = (configured: Config['realtime']): Limits => ({
  topics: MAX_TOPICS,
  maxPayloadBytes: MAX_PAYLOAD_BYTES,
  messagesPerSecond: configured.messagesPerSecond,
  messageBurst: configured.messagesPerSecond * BURST_S,
  connectionsPerIp: configured.maxConnectionsPerIp,
  connectionsPerUser: configured.maxConnectionsPerUser,
  connectionsPerTenant: configured.maxConnectionsPerTenant,
  connections: configured.maxConnections,
});
