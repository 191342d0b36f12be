import { createSecureContext, type SecureContext } from 'node:tls';
import type { TlsMaterial, TlsSettings } from './tls-settings.js';

const MIN_VERSION = 'TLSv1.2';

/** What connections prove and whom they trust; each is made once, because parsing keys is costly. */
export class SecureContexts {
  /** For webhooks without certificates of their own, and for the egress proxy. */
  readonly common: SecureContext;
  private readonly own = new WeakMap<TlsSettings, SecureContext>();

  /** @param ca authorities that are trusted besides the public ones */
  constructor(private readonly ca: string | undefined) {
    this.common = this.create({});
  }

  /** @throws if OpenSSL does not accept a key or certificate, which {@link contextProblem} rules out */
  of(settings: TlsSettings | undefined): SecureContext {
    if (settings === undefined) return this.common;
    const existing = this.own.get(settings);
    if (existing) return existing;
    const created = this.create(settings);
    this.own.set(settings, created);
    return created;
  }

  private create(material: TlsMaterial): SecureContext {
    const created = contextOf(material);
    // With the option `ca`, they would replace the public ones.
    if (this.ca !== undefined && material.ca === undefined) {
      (created.context as { addCACert(pem: string): void }).addCACert(this.ca);
    }
    return created;
  }
}

/** What OpenSSL does not accept, of certificates that can be parsed: a weak key, for example. */
export function contextProblem(
  material: TlsMaterial,
): { field: keyof TlsMaterial; message: string } | undefined {
  try {
    contextOf(material);
    return undefined;
  } catch (error) {
    const field = /\bca\b/i.test(String((error as { code?: string }).code)) ? 'ca' : 'certificate';
    const { reason = 'unknown reason' } = error as { reason?: string };
    return { field, message: `is not usable for TLS: ${reason}` };
  }
}

const contextOf = ({ certificate: cert, privateKey: key, ca }: TlsMaterial): SecureContext =>
  createSecureContext({ cert, key, ca, minVersion: MIN_VERSION });
