import type { AttemptError, FailureReason } from './attempt-result.js';

/**
 * What made an attempt fail, in words for the owner of the webhook.
 *
 * The words say of the receiver what any client of it sees: its certificate, and how it treated the
 * connection. They hold no address, and nothing of a host that the address policy refuses.
 */

/** The step at which opening a connection failed. */
export type ConnectPhase = 'dns' | 'connect' | 'tls' | 'timeout';

/** Of a certificate, what Node says of it: times as `Jan 31 12:00:00 2026 GMT`. */
export interface ReceiverCertificate {
  valid_from?: string;
  valid_to?: string;
  subjectaltname?: string;
}

/** What is known when a connection could not be opened. */
export interface ConnectFailure {
  phase: ConnectPhase;
  cause: NodeJS.ErrnoException;
  hostname: string;
  /** That the receiver presented. */
  certificate?: ReceiverCertificate | undefined;
  /** By which the certificate was judged. */
  nowMs?: number;
}

/** Names in a certificate, and reasons of OpenSSL, are another's text. */
const MAX_FOREIGN_LENGTH = 200;

const CONNECT_WORDS: Record<string, string> = {
  ECONNREFUSED: 'Connection refused: nothing accepts connections at this address and port.',
  ECONNRESET: 'Connection reset by the receiver while it was opened.',
  EPIPE: 'Connection reset by the receiver while it was opened.',
  ETIMEDOUT: 'Connection timed out: the receiver does not answer at this address and port.',
  EHOSTUNREACH: 'The receiver is unreachable: there is no route to it.',
  ENETUNREACH: 'The receiver is unreachable: there is no route to it.',
  EHOSTDOWN: 'The receiver is unreachable: there is no route to it.',
};

const NOT_FOUND = new Set(['ENOTFOUND', 'ENODATA', 'ENONAME']);

/** The codes of a certificate that was refused (X509_STORE_CTX_get_error(3)). */
const UNKNOWN_ISSUER =
  'The certificate of the receiver has an unknown issuer: no trusted authority has signed it, or ' +
  'the receiver does not send the intermediate certificates.';
const CERTIFICATE_WORDS: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'The certificate of the receiver is self-signed.',
  SELF_SIGNED_CERT_IN_CHAIN:
    'The certificate of the receiver has an unknown issuer: its chain ends in a self-signed ' +
    'certificate that is not trusted.',
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_ISSUER,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_ISSUER,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_ISSUER,
  CERT_UNTRUSTED: UNKNOWN_ISSUER,
  CERT_REVOKED: 'The certificate of the receiver is revoked.',
  INVALID_PURPOSE: 'The certificate of the receiver is not made for a server.',
  CERT_SIGNATURE_FAILURE: 'The certificate of the receiver has an invalid signature.',
  CERT_CHAIN_TOO_LONG: 'The certificate chain of the receiver is too long.',
};

/** Reasons of OpenSSL, by what their code contains; the first that fits. */
const TLS_WORDS: readonly (readonly [RegExp, string])[] = [
  [/CERTIFICATE_REQUIRED/, 'TLS: the receiver requires a client certificate.'],
  [/ALERT_UNKNOWN_CA/, 'TLS: the receiver does not know the issuer of our client certificate.'],
  [/ALERT_CERTIFICATE_EXPIRED/, 'TLS: the receiver says that our client certificate has expired.'],
  [
    /ALERT_(BAD_CERTIFICATE|CERTIFICATE_|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/,
    'TLS: the receiver refused our client certificate, or requires one.',
  ],
  [
    /WRONG_VERSION_NUMBER|PACKET_LENGTH|HTTP_REQUEST/,
    'TLS: the receiver does not speak TLS at this port.',
  ],
  [/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/, 'TLS: the receiver does not support TLS 1.2 or later.'],
  [/UNRECOGNIZED_NAME/, 'TLS: the receiver does not know this host name.'],
  [
    /HANDSHAKE_FAILURE/,
    'TLS: the receiver refused the handshake: no common cipher, or it requires a client certificate.',
  ],
];

/** Why no connection could be opened. */
export function connectReason(failure: ConnectFailure): FailureReason {
  return { error: failure.phase, message: connectMessage(failure), detail: failure.cause.message };
}

/** The same for a name without any address, and for one whose addresses are all refused. */
export const notFoundMessage = (hostname: string): string =>
  `Name not found: ${hostname} has no public address.`;

/**
 * Why an open connection gave no response.
 * @param error undefined: the receiver has closed it in order
 * @param isAfterHandshake whether the request was the first in a TLS connection
 */
export function brokenReason(
  error: NodeJS.ErrnoException | undefined,
  hasResponseBegun: boolean,
  isAfterHandshake = false,
): FailureReason {
  if (hasResponseBegun) {
    return {
      error: 'bad_response',
      message: 'The connection broke in the middle of the response.',
    };
  }
  // With TLS 1.3 a server that requires a client certificate says so after the handshake.
  if (error?.code?.startsWith('ERR_SSL_')) return { error: 'tls', message: tlsMessage(error) };
  const how = error === undefined ? 'closed' : 'reset';
  // With TLS 1.3 the refusal of a certificate comes after the handshake, and can get lost.
  const hint = isAfterHandshake ? ': it may require another client certificate, or one at all' : '';
  const message = `Connection ${how} by the receiver before it sent a response${hint}.`;
  return { error: 'http', message, detail: error?.message };
}

function connectMessage(failure: ConnectFailure): string {
  const { phase, cause, hostname } = failure;
  switch (phase) {
    case 'dns':
      return NOT_FOUND.has(cause.code ?? '')
        ? notFoundMessage(hostname)
        : `Name not resolved: the name servers of ${hostname} do not answer.`;
    case 'timeout':
      return 'Connection timed out: it was not open in time.';
    case 'connect':
      return CONNECT_WORDS[cause.code ?? ''] ?? 'No connection to the receiver could be opened.';
    case 'tls':
      return certificateMessage(failure) ?? tlsMessage(cause);
  }
}

function certificateMessage({
  cause,
  hostname,
  certificate,
  nowMs = 0,
}: ConnectFailure): string | undefined {
  const { code = '' } = cause;
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return expired(certificate, nowMs);
    case 'CERT_NOT_YET_VALID': {
      const from = isoTime(certificate?.valid_from);
      return `The certificate of the receiver is not valid ${from ? `before ${from}` : 'yet'}.`;
    }
    case 'ERR_TLS_CERT_ALTNAME_INVALID': {
      const names = namesOf(certificate);
      return `Wrong host: the certificate of the receiver is for ${names}, not for ${hostname}.`;
    }
    default:
      return CERTIFICATE_WORDS[code];
  }
}

function expired(certificate: ReceiverCertificate | undefined, nowMs: number): string {
  const end = isoTime(certificate?.valid_to);
  if (end !== undefined && Date.parse(end) < nowMs) {
    return `The certificate of the receiver expired on ${end}.`;
  }
  return 'A certificate in the chain of the receiver has expired.';
}

/** `DNS:a.example, IP Address:192.0.2.1` as `a.example, 192.0.2.1`. */
function namesOf(certificate: ReceiverCertificate | undefined): string {
  const names = certificate?.subjectaltname?.replace(/(^|, )(DNS|IP Address):/g, '$1');
  return foreign(names ?? '') || 'no host name';
}

function tlsMessage({ code = '', ...error }: NodeJS.ErrnoException & { reason?: string }): string {
  const words = TLS_WORDS.find(([pattern]) => pattern.test(code))?.[1];
  if (words !== undefined) return words;
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return 'TLS: the receiver closed the connection during the handshake.';
  }
  return error.reason ? `TLS handshake failed: ${foreign(error.reason)}.` : 'TLS handshake failed.';
}

/** Printable ASCII, bounded. */
const foreign = (text: string): string =>
  text.slice(0, MAX_FOREIGN_LENGTH).replace(/[^\x20-\x7e]/g, '?');

/** The time of a certificate (`Jan 31 12:00:00 2026 GMT`) in RFC 3339. */
function isoTime(text = ''): string | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString().replace('.000', '');
}

/** What an {@link AttemptError} means where nothing more is known. */
export const FAILURE_WORDS = {
  blocked: 'This address is not allowed for webhooks.',
  bad_response: 'The receiver sent something that is not a complete HTTP response.',
  http: 'The request could not be sent: its path or a header is not valid.',
} satisfies Partial<Record<AttemptError, string>>;
