/** What a caller may do to the webhooks that it reaches. */
import { canSubscribe, may, ownerScope, type Principal } from '../auth/principal.js';
import type { WebhookEntity } from '../database/entities/webhook.entity.js';
import { AppError } from '../shared/app-error.js';
import type { UpdateWebhook } from './webhooks.dto.js';

/** @throws AppError `foreign_owner` */
export function ownerOfNew(given: string | undefined, principal: Principal): string | null {
  if (ownerScope(principal, 'webhooks:write') === undefined) return given ?? null;
  if (given === undefined || given === principal.ownerId) return principal.ownerId;
  throw new AppError('forbidden', 'foreign_owner', 'Only an admin registers for another owner.');
}

/**
 * Switching a webhook takes less than changing it. For both, a caller has to be allowed to receive what
 * it receives, also where the patterns stay: a new URL would receive what they select.
 */
export function checkMayChange(
  present: WebhookEntity,
  change: UpdateWebhook,
  principal: Principal,
): void {
  checkPatterns(present.events, principal);
  const [field] = Object.keys(change).filter((name) => name !== 'active');
  if (field === undefined) return;
  const owner = ownerScope(principal, 'webhooks:write');
  const reaches = owner === undefined || owner === present.ownerId;
  if (may(principal, 'webhooks:write') && reaches) return;
  const detail = 'Your role allows you to change `active` only.';
  throw new AppError('forbidden', 'role_required', detail, [{ field, message: 'is not yours' }]);
}

/** A caller that may receive some topics only must not widen them by a webhook. */
export function checkPatterns(patterns: string[], principal: Principal): void {
  const refused = patterns.filter((pattern) => !canSubscribe(principal, pattern));
  if (refused.length === 0) return;
  throw new AppError(
    'forbidden',
    'topic_not_allowed',
    `Your credential does not allow you to receive ${refused.join(', ')}.`,
  );
}
