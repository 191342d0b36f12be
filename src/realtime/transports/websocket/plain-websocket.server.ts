import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { type WebSocket, WebSocketServer } from 'ws';
import { problemOf, problemResponse } from '../../../http/problem.js';
import { AppError, UnavailableError } from '../../../shared/app-error.js';
import { CONFIG } from '../../../config/config.module.js';
import type { Config } from '../../../config/env.js';
import { TIMINGS, type Timings } from '../../../config/timings.js';
import { EventTypeCache } from '../../../event-types/event-type-cache.service.js';
import { logFailure } from '../../../shared/log-failure.js';
import { AdmissionService } from '../../connections/admission.service.js';
import { ClientIds } from '../../connections/client-ids.service.js';
import { Connections } from '../../connections/connections.service.js';
import { Heartbeats } from '../../connections/heartbeats.timer.js';
import type { Admission } from '../../connections/realtime.connection.js';
import { CLOSE_REASONS, type CloseReason, passingReason } from '../../close-codes.js';
import { MAX_PAYLOAD_BYTES } from '../../limits.js';
import { LogClock } from '../../resume/log-clock.service.js';
import { selectedProtocol, webSocketCredentials, webSocketOptions } from '../credentials.js';
import { SOCKET_IO_PATH } from '../socket-io/socket-io-types.js';
import { PlainWebSocketConnection } from './plain-websocket.connection.js';
import { PlainWebSocketMessages } from './plain-websocket-messages.service.js';
import { isPlainWebSocket, type WebSocketAddress, webSocketAddress } from './websocket-target.js';

/** A client that is turned away comes back after at least this time, and at most twice of it. */
const RECONNECT_MS = 500;

/**
 * Plain WebSockets at `/ws`, on the port of the application. A client that may not connect gets a
 * problem as the HTTP response, before there is a WebSocket. One that only has to come back later gets
 * a WebSocket that closes: a page does not see HTTP responses, and cannot distinguish the two.
 */
@Injectable()
export class PlainWebSocketServer implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(PlainWebSocketServer.name);
  private readonly heartbeatMs: number;
  private readonly heartbeats: Heartbeats<PlainWebSocketConnection>;
  /** Sockets whose clients are being authenticated. */
  private readonly upgrading = new Set<Duplex>();
  private readonly server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_PAYLOAD_BYTES,
    perMessageDeflate: false,
    handleProtocols: selectedProtocol,
  });

  constructor(
    private readonly host: HttpAdapterHost,
    @Inject(CONFIG) { realtime }: Config,
    private readonly admission: AdmissionService,
    private readonly clientIds: ClientIds,
    private readonly connections: Connections,
    private readonly messages: PlainWebSocketMessages,
    private readonly clock: LogClock,
    private readonly types: EventTypeCache,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.heartbeatMs = realtime.heartbeatMs;
    this.heartbeats = new Heartbeats(this.heartbeatMs, (connection) => connection.heartbeat());
  }

  /** Other protocols than WebSocket have been ignored by then: see `IncomingRequest`. */
  onApplicationBootstrap(): void {
    const http = this.host.httpAdapter.getHttpServer() as HttpServer;
    http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (request.url?.startsWith(`${SOCKET_IO_PATH}/`)) return;
      void this.upgrade(request, socket, head);
    });
  }

  /** The shutdown does not wait for clients that are still being authenticated. */
  onModuleDestroy(): void {
    for (const socket of this.upgrading) socket.destroy();
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.upgrading.add(socket);
    socket.once('close', () => this.upgrading.delete(socket));
    socket.on('error', () => socket.destroy());
    try {
      const address = this.addressIn(request);
      const [admission, position] = await Promise.all([
        this.admit(request, address),
        this.clock.now(),
      ]);
      socket.once('close', () => admission.release());
      if (socket.destroyed) return admission.release();
      this.server.handleUpgrade(request, socket, head, (webSocket) => {
        this.upgrading.delete(socket);
        this.open(admission, webSocket, socket, { ...address, position });
      });
    } catch (error) {
      const refusal = error instanceof AppError ? error : this.unexpected(error);
      const reason = passingReason(refusal);
      if (reason) {
        return this.server.handleUpgrade(request, socket, head, (webSocket) => {
          this.turnAway(webSocket, reason, refusal.detail);
        });
      }
      // A client that does not close its side must not keep the socket.
      socket.once('finish', () => socket.destroy());
      socket.end(problemResponse(problemOf(refusal)));
    }
  }

  /** The same frames as those of a connection that ends for this reason. */
  private turnAway(webSocket: WebSocket, reason: CloseReason, message: string): void {
    webSocket.on('error', () => undefined);
    const reconnectInMs = Math.round(RECONNECT_MS * (1 + Math.random()));
    const frame =
      reason === 'draining'
        ? { type: reason, reconnectInMs }
        : { type: 'error', code: reason, message, reconnect: true };
    webSocket.send(JSON.stringify(frame));
    webSocket.close(CLOSE_REASONS[reason].code, reason);
    const cut = setTimeout(() => webSocket.terminate(), this.timings.closeGraceMs).unref();
    webSocket.once('close', () => clearTimeout(cut));
  }

  private async admit(request: IncomingMessage, asked: WebSocketAddress): Promise<Admission> {
    this.admission.checkPage(request);
    const address = this.admission.addressOf(request);
    const credentials = webSocketCredentials(request, asked.query);
    const options = webSocketOptions(request, asked.query);
    const admission = await this.admission.duringHandshake(address, () =>
      this.admission.authenticate(credentials, address),
    );
    try {
      this.messages.checkTopic(admission, asked.topic);
      return { ...(await this.clientIds.assign(admission, asked.client)), options };
    } catch (error) {
      admission.release();
      throw error;
    }
  }

  private open(
    admission: Admission,
    webSocket: WebSocket,
    socket: Duplex,
    { target, topic, last, position }: WebSocketAddress & { position: string | undefined },
  ): void {
    const connection = new PlainWebSocketConnection(admission, webSocket, socket, this.heartbeatMs);
    this.heartbeats.add(connection);
    connection.whenEnded(() => this.heartbeats.delete(connection));
    webSocket.on('message', (data: Buffer, isBinary) => {
      this.messages.receive(connection, data, isBinary);
    });
    for (const control of ['ping', 'pong'] as const) {
      webSocket.on(control, () => this.messages.receiveControl(connection));
    }
    this.connections.open(connection, {
      ...(target !== undefined && { target }),
      ...(position !== undefined && { position }),
    });
    if (topic) this.messages.subscribe(connection, topic, last);
  }

  private addressIn({ url = '' }: IncomingMessage): WebSocketAddress {
    if (isPlainWebSocket(url)) return webSocketAddress(url, this.types);
    const detail = 'There is nothing to upgrade to at this path.';
    throw new AppError('malformed', 'upgrade_not_supported', detail);
  }

  private unexpected(error: unknown): AppError {
    logFailure(this.logger, 'error', 'a WebSocket client cannot be admitted', error);
    return new UnavailableError('The client cannot be admitted at the moment.');
  }
}
