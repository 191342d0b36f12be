import { Injectable } from '@nestjs/common';
import { Messages } from '../../messages/messages.service.js';
import type { Admission } from '../../connections/realtime.connection.js';
import type { Refusal } from '../../realtime-events.js';
import { Requests } from '../../subscriptions/requests.service.js';
import { topicsToAdd } from '../../subscriptions/subscription-request.js';
import type { Topic } from '../../subscriptions/topic.js';
import type { PlainWebSocketConnection } from './plain-websocket.connection.js';
import { acknowledgement } from './websocket-encoding.js';
import { readMessage, type RequestId, type WebSocketMessage } from './websocket-message.js';

const BINARY: Refusal = { code: 'invalid_input', message: 'payload: must be text, not binary' };

/** Carries what clients without Socket.IO ask for. */
@Injectable()
export class PlainWebSocketMessages {
  constructor(
    private readonly requests: Requests,
    private readonly messages: Messages,
  ) {}

  /** Whether a connection may be opened that subscribes to this. @throws AppError `forbidden` */
  checkTopic({ principal }: Admission, topic: Topic | undefined): void {
    if (topic) topicsToAdd(new Map(), [topic], principal);
  }

  /** Subscribes a connection to the topic of its address, as if it had asked for it. */
  arrive(connection: PlainWebSocketConnection, topic: Topic): void {
    void this.carryOut(connection, {
      kind: 'request',
      name: 'subscribe',
      requestId: undefined,
      payload: { topics: [topic] },
    });
  }

  /** Takes one message of a client. Never throws. */
  take(connection: PlainWebSocketConnection, data: Buffer, isBinary: boolean): void {
    connection.markAlive();
    // Whoever was told to go is not heard any more.
    if (!connection.isOpen) return;
    const message: WebSocketMessage = isBinary
      ? { kind: 'bad', refusal: BINARY }
      : readMessage(data.toString());
    if (message.kind === 'request') return void this.carryOut(connection, message);
    const tooMany = this.requests.admit(connection);
    if (message.kind === 'pong') return;
    if (tooMany) refuse(connection, tooMany);
    else if (message.kind === 'text') this.messages.text(connection, message.text);
    else refuse(connection, message.refusal, message.requestId);
  }

  private async carryOut(
    connection: PlainWebSocketConnection,
    { name, requestId, payload }: Extract<WebSocketMessage, { kind: 'request' }>,
  ): Promise<void> {
    const answered = this.requests.answer(connection, name, payload);
    const answer = answered instanceof Promise ? await answered : answered;
    if (answer) connection.send(acknowledgement(name, requestId, answer));
  }
}

function refuse(
  connection: PlainWebSocketConnection,
  refusal: Refusal,
  requestId?: RequestId,
): void {
  if (requestId === undefined) connection.say('error', { ...refusal, reconnect: false });
  else connection.send(acknowledgement(undefined, requestId, { ok: false, error: refusal }));
}
