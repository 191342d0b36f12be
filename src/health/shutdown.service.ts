import type { Server } from 'node:http';
import {
  type BeforeApplicationShutdown,
  Injectable,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { gracefulClose } from '../http/graceful-close.js';

/**
 * The order in which a process leaves: it says that it is not ready, while it answers every request;
 * live connections are sent to other nodes; the port closes; attempts in flight end; stores close.
 */
@Injectable()
export class Shutdown implements OnModuleInit, OnModuleDestroy, BeforeApplicationShutdown {
  private hasBegun = false;
  private closePort: () => void = () => undefined;

  constructor(private readonly host: HttpAdapterHost) {}

  /** From now on the process is not ready, and no router should send it requests. */
  get isStopping(): boolean {
    return this.hasBegun;
  }

  begin(): void {
    this.hasBegun = true;
  }

  onModuleInit(): void {
    this.closePort = gracefulClose(this.host.httpAdapter.getHttpServer() as Server);
  }

  onModuleDestroy(): void {
    this.begin();
  }

  /** After live connections have ended, whose clients may still have to fetch the reason. */
  beforeApplicationShutdown(): void {
    this.closePort();
  }
}
