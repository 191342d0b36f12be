import { Injectable } from '@nestjs/common';
import { Connections } from '../connections/connections.service.js';

/** The question with which a process is asked to end a connection. */
export const CLOSE_CONNECTION = 'close-connection';

/** Ends connections of this process that an operator wants gone, wherever the operator asks. */
@Injectable()
export class ConnectionClosing {
  constructor(private readonly connections: Connections) {}

  /** @returns whether it was one of this process */
  close(id: unknown): boolean {
    const connection = typeof id === 'string' ? this.connections.get(id) : undefined;
    connection?.close('closed_by_operator');
    return connection !== undefined;
  }
}
