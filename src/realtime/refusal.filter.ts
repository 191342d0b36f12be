import { type ArgumentsHost, Catch, type ExceptionFilter, Logger } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { type Answer, mayReconnect, type Refusal } from './realtime-events.js';
import type { RealtimeSocket } from './realtime-socket.js';

export type Acknowledge = (answer: Answer) => void;

/** Answers a message that was not carried out. */
@Catch()
export class RefusalFilter implements ExceptionFilter {
  private readonly logger = new Logger(RefusalFilter.name);

  /** Nest gives the arguments as they were bound: the socket, the payload, the acknowledgement. */
  catch(exception: unknown, host: ArgumentsHost): void {
    const [socket, , ack] = host.getArgs<[RealtimeSocket, unknown, Acknowledge | undefined]>();
    refuse(socket, ack, this.refusalOf(exception));
  }

  private refusalOf(exception: unknown): Refusal {
    if (exception instanceof AppError) return { code: exception.code, message: exception.detail };
    this.logger.error(exception);
    return { code: 'internal_error', message: 'The server failed to do this.' };
  }
}

/** In the acknowledgement if the client asked for one, as an `error` event otherwise. */
export function refuse(
  socket: RealtimeSocket,
  ack: Acknowledge | undefined,
  refusal: Refusal,
): void {
  if (ack) ack({ ok: false, error: refusal });
  else socket.emit('error', { ...refusal, reconnect: mayReconnect(refusal.code) });
}
