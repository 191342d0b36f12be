import { Injectable } from '@nestjs/common';
import { AppError } from '../../../shared/app-error.js';
import type { Admission } from '../../connections/realtime.connection.js';
import { Messages } from '../../messages/messages.service.js';
import type { Refusal } from '../../protocol.js';
import { Subscriptions } from '../../subscriptions/subscriptions.service.js';
import type { Topic } from '../../topic.js';
import { Requests } from '../requests.service.js';
import { acknowledgement, type PlainWebSocketConnection } from './plain-websocket.connection.js';
import { readMessage, type RequestId, type WebSocketMessage } from './websocket-message.js';

const BINARY: Refusal = { code: 'invalid_input', message: 'payload: must be text, not binary' };

/** Requests and texts over plain WebSockets. */
@Injectable()
export class PlainWebSocketMessages {
  constructor(
    private readonly requests: Requests,
    private readonly messages: Messages,
    private readonly subscriptions: Subscriptions,
  ) {}

  /** @throws AppError `forbidden` if the connection may not subscribe to this topic */
  checkTopic({ principal }: Admission, topic: Topic | undefined): void {
    if (topic) this.subscriptions.check(principal, [topic]);
  }

  /** Subscribes a connection to the topic of its address, as if it had requested that. */
  subscribe(connection: PlainWebSocketConnection, topic: Topic, last?: number): void {
    void this.carryOut(connection, {
      kind: 'request',
      name: 'subscribe',
      requestId: undefined,
      payload: { topics: [topic], ...(last !== undefined && { last }) },
      isBare: false,
    });
  }

  /** Processes one message of a client. Never throws. */
  receive(connection: PlainWebSocketConnection, data: Buffer, isBinary: boolean): void {
    connection.markAlive();
    // Messages that arrive after the server has closed the connection are ignored.
    if (!connection.isOpen) return;
    const message: WebSocketMessage = isBinary
      ? { kind: 'bad', refusal: BINARY }
      : readMessage(data.toString());
    if (message.kind === 'request') return void this.carryOut(connection, message);
    const tooMany = this.requests.admit(connection);
    if (message.kind === 'pong') return;
    if (tooMany) refuse(connection, tooMany);
    else if (message.kind === 'text') this.sendText(connection, message.text);
    else refuse(connection, message.refusal, message.requestId);
  }

  /** A frame of the protocol itself: it costs as much as a message, and is not answered here. */
  receiveControl(connection: PlainWebSocketConnection): void {
    if (connection.isOpen) this.requests.admit(connection);
  }

  private sendText(connection: PlainWebSocketConnection, text: string): void {
    try {
      this.messages.text(connection, text);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      refuse(connection, { code: error.code, message: error.detail });
    }
  }

  private async carryOut(
    connection: PlainWebSocketConnection,
    { name, requestId, payload, isBare }: Extract<WebSocketMessage, { kind: 'request' }>,
  ): Promise<void> {
    const answered = this.requests.answer(connection, name, payload);
    const answer = answered instanceof Promise ? await answered : answered;
    if (!answer) return;
    if (!isBare || requestId !== undefined) {
      connection.send(acknowledgement(name, requestId, answer));
    } else if (!answer.ok) refuse(connection, answer.error);
  }
}

function refuse(
  connection: PlainWebSocketConnection,
  refusal: Refusal,
  requestId?: RequestId,
): void {
  if (requestId === undefined) connection.notify('error', { ...refusal, reconnect: false });
  else connection.send(acknowledgement(undefined, requestId, { ok: false, error: refusal }));
}
