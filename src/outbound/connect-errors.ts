import { isIP } from 'node:net';
import type { AddressClass } from './address-policy.js';
import { AttemptFailure, type FailureReason } from './attempt-result.js';
import {
  type ConnectFailure,
  type ConnectPhase,
  connectReason,
  FAILURE_WORDS,
  notFoundMessage,
} from './failure-reason.js';
import { isLocalhostName } from './webhook-url.js';

/**
 * The address policy refused the target.
 *
 * For a name it looks like a name without an address: otherwise a customer could find out which names
 * exist in the network of the installation. An address in the URL is no secret to its author.
 */
export class BlockedAddressError extends AttemptFailure {
  readonly code = 'ERR_BLOCKED_ADDRESS';
  readonly failure: FailureReason;

  constructor(
    readonly address: string,
    readonly reason: AddressClass,
    hostname: string,
  ) {
    super(`The address ${address} is not allowed (${reason})`);
    this.name = 'BlockedAddressError';
    const isSecret = isIP(hostname) === 0 && !isLocalhostName(hostname);
    this.failure = {
      ...(isSecret
        ? { error: 'dns', message: notFoundMessage(hostname) }
        : { error: 'blocked', message: FAILURE_WORDS.blocked }),
      detail: this.message,
    };
  }
}

/** The port is not one that requests may go to. */
export class BlockedPortError extends AttemptFailure {
  readonly failure: FailureReason;

  constructor(problem: string) {
    super(problem);
    this.failure = { error: 'blocked', message: `The URL ${problem}.` };
  }
}

/** No connection could be opened; the system's own error is the cause. */
export class ConnectionError extends AttemptFailure {
  readonly code = 'ERR_OUTBOUND_CONNECTION';
  readonly phase: ConnectPhase;
  readonly failure: FailureReason;

  constructor(failure: ConnectFailure) {
    const { phase, cause } = failure;
    super(`No connection: failed at ${phase}`, { cause });
    this.name = 'ConnectionError';
    this.phase = phase;
    this.failure = connectReason(failure);
  }
}

/** After `close()`. */
export const closedError = (hostname: string): Error =>
  new ConnectionError({
    phase: 'connect',
    cause: new Error('The connector is closed'),
    hostname,
  });

/** An error without a phase of its own: the name could not be resolved. */
export const asNameError = (cause: Error, hostname: string): Error =>
  cause instanceof AttemptFailure ? cause : new ConnectionError({ phase: 'dns', cause, hostname });

/** As the resolver of the system says it. */
export function noAddress(hostname: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${hostname} has no address`);
  return Object.assign(error, { code: 'ENODATA', syscall: 'getaddrinfo' });
}
