/**
 * The rules for a token before and after its signature is checked (RFC 8725). Nothing here verifies
 * a signature: {@link readHeader} only chooses the key, and {@link toPrincipal} must only be given
 * claims whose signature was valid.
 */
import jwt, { type JwtHeader } from 'jsonwebtoken';
import { z } from 'zod';
import { AppError } from '../shared/app-error.js';
import { fieldErrors } from '../shared/field-errors.js';
import { eventPattern, MAX_PATTERNS, ownerId, userId } from '../shared/zod-fields.js';
import { knownRoles, type PrincipalRole } from '../shared/roles.js';
import type { Principal } from './principal.js';

/** Half of what Node accepts as the headers of a request; live transports have no such limit. */
export const MAX_TOKEN_LENGTH = 8 * 1024;

/** For issuers whose clock is not quite ours: `nbf`, `iat` and `exp` may be off by this much. */
const CLOCK_TOLERANCE_S = 30;

/** The last second that RFC 3339 can write, 9999-12-31T23:59:59Z. */
const MAX_EXP_S = 253_402_300_799;

const Header = z.object({
  alg: z.string(),
  // Only ever compared with the names of known keys; bounded all the same.
  kid: z
    .string()
    .max(256)
    .regex(/^[\x20-\x7e]+$/)
    .optional(),
  // RFC 9068, 2.1 and RFC 7519, 5.1. A token that says it is something else is something else.
  typ: z
    .string()
    .regex(/^(application\/)?(at\+)?jwt$/i)
    .optional(),
  // RFC 7515, 4.1.11: we understand no extension, so none may be critical.
  crit: z.undefined().optional(),
});

/** What issuers call the tokens that are not access tokens, in `typ`, `token_use` or `token_type`. */
const NOT_ACCESS = /^(refresh|offline|id)([_ -]?token)?$/i;
const use = z
  .string()
  .refine((value) => !NOT_ACCESS.test(value), 'is not that of an access token')
  .optional();

/** Seconds since 1970, with a fraction or without (RFC 7519, 2). */
const numericDate = z.number().min(0).max(MAX_EXP_S);

const Claims = z.object({
  sub: userId,
  exp: numericDate,
  nbf: numericDate.optional(),
  iat: numericDate.optional(),
  roles: z.array(z.unknown()).optional(),
  topics: z.array(eventPattern).max(MAX_PATTERNS).optional(),
  typ: use,
  token_use: use,
  token_type: use,
});

/** The refusal of a token; the reason helps a developer and reveals nothing to a forger. */
export const invalidToken = (reason: string, cause?: unknown): AppError =>
  new AppError(
    'unauthenticated',
    'invalid_token',
    `The token is not acceptable. ${reason}`,
    undefined,
    { cause },
  );

/** The header of a token, from which its key is chosen. @throws AppError `invalid_token` */
export function readHeader(token: string): Pick<JwtHeader, 'alg' | 'kid'> {
  if (token.length > MAX_TOKEN_LENGTH) throw invalidToken('It is too long.');
  if (!token.split('.').every(isCanonical)) throw invalidToken('It is not a JSON Web Token.');
  const decoded = decodedToken(token);
  const header = Header.safeParse(decoded?.header);
  if (!header.success) throw invalidToken(`Header: ${firstProblem(header.error)}`);
  // RFC 7519, 7.2. The library reads members of whatever it is, also of null.
  if (!isObject(decoded?.payload)) throw invalidToken('Its claims are not a JSON object.');
  return header.data;
}

/** What is not in the token. */
export interface ClaimsContext {
  /** Milliseconds since 1970. */
  nowMs: number;
  /** Of a token without the claim `roles`. */
  defaultRoles: readonly PrincipalRole[];
  /** Name of the claim that has the tenant; a token without it is that of its `sub`. */
  tenantClaim: string;
}

/** The principal of verified claims. @throws AppError `invalid_token`, `token_expired` */
export function toPrincipal(
  payload: unknown,
  { nowMs, defaultRoles, tenantClaim }: ClaimsContext,
): Principal {
  const claims = Claims.safeParse(payload);
  if (!claims.success) throw invalidToken(`Claims: ${firstProblem(claims.error)}`);
  const { sub, exp, roles = defaultRoles, topics } = claims.data;
  requireInTime(claims.data, nowMs);
  return {
    ownerId: tenantIn(payload, tenantClaim) ?? sub,
    userId: sub,
    roles: new Set(knownRoles(roles)),
    topics,
    expiresAtMs: endOf(exp, nowMs),
  };
}

/** The name is a setting, and issuers use addresses as names: it is looked up as it is. */
function tenantIn(payload: unknown, claim: string): string | undefined {
  const tenant = ownerId
    .optional()
    .safeParse(new Map(Object.entries(payload as object)).get(claim));
  if (!tenant.success) {
    throw invalidToken(`Claims: ${claim} ${tenant.error.issues[0]?.message ?? 'is not a tenant'}.`);
  }
  return tenant.data;
}

/** Here and not in the library, which reads the clock of this machine. */
function requireInTime({ exp, nbf = 0, iat = 0 }: z.infer<typeof Claims>, nowMs: number): void {
  const nowS = nowMs / 1000;
  if (exp + CLOCK_TOLERANCE_S <= nowS) {
    throw new AppError('unauthenticated', 'token_expired', 'The token has expired.');
  }
  if (nbf - CLOCK_TOLERANCE_S > nowS) throw invalidToken('It is not valid yet.');
  if (iat - CLOCK_TOLERANCE_S > nowS) throw invalidToken('It was issued in the future.');
}

/**
 * When the token is no longer valid, in milliseconds since 1970. One that is presented after `exp`,
 * because clocks differ, is valid until the tolerance ends: a connection that is accepted with it must
 * not be closed at once.
 */
function endOf(exp: number, nowMs: number): number {
  const endMs = Math.floor(exp * 1000);
  return endMs > nowMs ? endMs : endMs + CLOCK_TOLERANCE_S * 1000;
}

/** As the library reads it, so that what is checked is what it uses. */
function decodedToken(token: string): jwt.Jwt | null {
  try {
    return jwt.decode(token, { complete: true });
  } catch {
    return null;
  }
}

const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** One text per token: no padding, no foreign characters, no unused bits that may vary. */
const isCanonical = (segment: string): boolean =>
  Buffer.from(segment, 'base64url').toString('base64url') === segment;

function firstProblem({ issues }: z.ZodError): string {
  const [first] = fieldErrors(issues);
  return `${first?.field} ${first?.message}.`;
}
