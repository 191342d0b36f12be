import { createHash, createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { certificatesOf } from '../shared/certificates.js';

/**
 * The certificates of one webhook: what it proves to the receiver (mutual TLS), and which authorities
 * may vouch for the receiver. All in PEM form.
 */
export interface TlsMaterial {
  /** The client certificate, followed by its intermediates. */
  certificate?: string;
  /** Of the client certificate; a secret. */
  privateKey?: string;
  /** The authorities that are trusted, instead of the public ones. */
  ca?: string;
}

/** As requests use them. */
export interface TlsSettings extends TlsMaterial {
  /** The same for settings that are equal: connections are shared by origin and this. */
  id: string;
}

/** What may be shown of a certificate. */
export interface ShownCertificate {
  subject: string;
  issuer: string;
  serialNumber: string;
  /** SHA-256 of the certificate, hex with colons. */
  fingerprint: string;
  validFrom: string;
  validTo: string;
}

/** What may be shown of a webhook's certificates. */
export interface ShownTls {
  certificate: ShownCertificate | null;
  ca: ShownCertificate[];
}

/** Longer names are another's text without a use. */
const MAX_NAME_LENGTH = 256;
/** A certificate may be used this long before it becomes valid: clocks differ. */
const CLOCK_TOLERANCE_MS = 300_000;
const MIN_RSA_BITS = 2048;
const KEY_TYPES = new Set(['rsa', 'rsa-pss', 'ec', 'ed25519', 'ed448']);

export function tlsSettings(material: TlsMaterial): TlsSettings {
  const { certificate, privateKey, ca } = material;
  const text = JSON.stringify([certificate, privateKey, ca]);
  return { ...material, id: createHash('sha256').update(text).digest('hex') };
}

/** The member that is at fault, and what is wrong with it; undefined when all of it is usable. */
export function tlsProblem(
  { certificate, privateKey, ca }: TlsMaterial,
  nowMs: number,
): { field: keyof TlsMaterial; message: string } | undefined {
  if (ca !== undefined) {
    const message = certificatesProblem(certificatesOf(ca), nowMs);
    if (message !== undefined) return { field: 'ca', message };
  }
  if (certificate === undefined && privateKey === undefined) return undefined;
  if (certificate === undefined) {
    return { field: 'certificate', message: 'is required with a private key' };
  }
  const chain = certificatesOf(certificate);
  const message = certificatesProblem(chain, nowMs);
  if (message !== undefined) return { field: 'certificate', message };
  if (privateKey === undefined) {
    return { field: 'privateKey', message: 'is required with a certificate' };
  }
  const problem = keyProblem(privateKey, (chain as X509Certificate[])[0]!);
  return problem === undefined ? undefined : { field: 'privateKey', message: problem };
}

export const shownTls = ({ certificate, ca }: TlsMaterial): ShownTls => ({
  certificate: shownOf(certificate)[0] ?? null,
  ca: shownOf(ca),
});

function certificatesProblem(
  parsed: X509Certificate[] | string,
  nowMs: number,
): string | undefined {
  if (typeof parsed === 'string') return parsed;
  for (const certificate of parsed) {
    const name = nameOf(certificate.subject);
    if (Date.parse(certificate.validTo) <= nowMs) {
      return `has expired: ${name} was valid until ${isoTime(certificate.validTo)}`;
    }
    if (Date.parse(certificate.validFrom) > nowMs + CLOCK_TOLERANCE_MS) {
      return `is not valid yet: ${name} is valid from ${isoTime(certificate.validFrom)}`;
    }
  }
  return undefined;
}

function keyProblem(pem: string, certificate: X509Certificate): string | undefined {
  if (/-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    return 'is encrypted with a passphrase: give it without one, it is stored encrypted';
  }
  if (!/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/.test(pem)) {
    return 'must be a private key in PEM form (-----BEGIN PRIVATE KEY-----)';
  }
  const key = parsedKey(pem);
  if (key === undefined) return 'is not a valid private key';
  const { asymmetricKeyType: type = '', asymmetricKeyDetails } = key;
  if (!KEY_TYPES.has(type)) return 'must be an RSA, EC or Ed25519 key';
  if ((asymmetricKeyDetails?.modulusLength ?? MIN_RSA_BITS) < MIN_RSA_BITS) {
    return `must have at least ${MIN_RSA_BITS} bits`;
  }
  return certificate.checkPrivateKey(key) ? undefined : 'does not belong to the certificate';
}

function parsedKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function shownOf(pem: string | undefined): ShownCertificate[] {
  const certificates = pem === undefined ? [] : certificatesOf(pem);
  return typeof certificates === 'string' ? [] : certificates.map(shownCertificate);
}

const shownCertificate = (certificate: X509Certificate): ShownCertificate => ({
  subject: nameOf(certificate.subject),
  issuer: nameOf(certificate.issuer),
  serialNumber: certificate.serialNumber,
  fingerprint: certificate.fingerprint256,
  validFrom: isoTime(certificate.validFrom),
  validTo: isoTime(certificate.validTo),
});

/** A distinguished name, which has a line per attribute, on one line. */
const nameOf = (name: string | undefined): string =>
  (name ?? '')
    .trim()
    .replaceAll('\n', ', ')
    .slice(0, MAX_NAME_LENGTH)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\ufffd');

const isoTime = (text: string): string => new Date(text).toISOString();
