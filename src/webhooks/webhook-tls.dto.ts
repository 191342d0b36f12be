import { z } from 'zod';
import { InvalidInputError } from '../shared/app-error.js';
import { timestamp } from '../shared/zod-fields.js';
import { type TlsMaterial, tlsProblem } from '../outbound/tls-settings.js';

/** A chain with three RSA certificates of 4,096 bits has some 7,000 characters. */
const MAX_PEM_LENGTH = 32_768;

const pem = z.string().min(1).max(MAX_PEM_LENGTH);

/** The field of a request that sets the certificates of a webhook; null: none. */
export const tlsSetting = z
  .strictObject({
    certificate: pem
      .nullish()
      .describe(
        'Client certificate for mutual TLS, followed by its intermediates: PEM, 32,768 characters at ' +
          'most. Null removes it.',
      ),
    privateKey: pem
      .nullish()
      .describe(
        'Private key of the client certificate: PEM, without a passphrase; RSA of 2,048 bits at ' +
          'least, EC or Ed25519. Write-only, encrypted at rest. Null removes it.',
      ),
    ca: pem
      .nullish()
      .describe(
        'Authorities that may have issued the certificate of the receiver, instead of the public ' +
          'ones: PEM, 20 certificates at most. Null removes them.',
      ),
  })
  .nullish()
  .describe(
    'Certificates for the connections of this webhook. A member that is absent stays as it is. ' +
      'Absent or null: no client certificate, and the authorities of the installation.',
  )
  .meta({
    examples: [
      {
        certificate: '-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----',
        privateKey: '-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----',
      },
    ],
  });

const Certificate = z
  .object({
    subject: z.string().describe('Who it is issued to.'),
    issuer: z.string().describe('Who has issued it.'),
    serialNumber: z.string().describe('Hexadecimal.'),
    fingerprint: z.string().describe('SHA-256 of the certificate, hexadecimal with colons.'),
    validFrom: timestamp.describe('From when it is valid.'),
    validTo: timestamp.describe('Until when it is valid; requests fail from then on.'),
  })
  .meta({ id: 'Certificate' });

/** The same field in a response. */
export const shownTlsSetting = z
  .object({
    certificate: Certificate.nullable().describe(
      'The client certificate; its private key is not shown. Null: none.',
    ),
    ca: z.array(Certificate).describe('Trusted instead of the public authorities; empty: none.'),
  })
  .nullable()
  .describe('Null: no client certificate, and the authorities of the installation.');

/** What a caller may change; null removes. */
type TlsChange = { [Member in keyof TlsMaterial]?: string | null } | null;

/**
 * The certificates after a change; a member that is absent stays. Undefined: none are left.
 * @throws InvalidInputError naming the member
 */
export function changedTls(
  present: TlsMaterial,
  change: TlsChange,
  nowMs: number,
): TlsMaterial | undefined {
  if (change === null) return undefined;
  const members = Object.entries({ ...present, ...change }).filter(
    (member): member is [keyof TlsMaterial, string] => typeof member[1] === 'string',
  );
  if (members.length === 0) return undefined;
  const changed: TlsMaterial = Object.fromEntries(members);
  const problem = tlsProblem(changed, nowMs);
  if (problem) throw InvalidInputError.at(`tls.${problem.field}`, problem.message);
  return changed;
}
