import { EventEmitter } from 'node:events';
import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import {
  type EntityManager,
  type FindOptionsWhere,
  IsNull,
  LessThan,
  type Repository,
} from 'typeorm';
import { type Actor, ownerListed, ownerScope, type Principal } from '../auth/principal.js';
import { AppError, InvalidInputError, NotFoundError } from '../shared/app-error.js';
import { attributionOf } from '../shared/attribution.js';
import type { AuditAction, AuditActor, Changes } from '../shared/audit.js';
import { isId, newId } from '../shared/ids.js';
import { KeyedSemaphore } from '../shared/keyed-semaphore.js';
import { decodeCursor, type Page, page } from '../shared/pagination.js';
import type { Ability } from '../shared/roles.js';
import { seal } from '../shared/secret-box.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { AuditLogStore } from '../database/audit-log.store.js';
import { Clock } from '../database/clock.service.js';
import { WebhookEntity } from '../database/entities/webhook.entity.js';
import { OutboundHttpClient } from '../outbound/outbound-http.client.js';
import { shownTls, type TlsMaterial } from '../outbound/tls-settings.js';
import { openHeaders, openSecrets, openTls } from './registered-webhook.js';
import { changedDispatchPolicy, DEFAULT_DISPATCH_POLICY } from './dispatch-policy.dto.js';
import { parseSecret, type SigningSecret, validSecrets } from './signing-secret.js';
import { WebhookCache } from './webhook-cache.service.js';
import { deletedWebhook, rotatedSecret, webhookChanges } from './webhook-audit.js';
import { checkMayChange, checkPatterns, ownerOfNew } from './webhook-rights.js';
import { WebhooksStore } from './webhooks.store.js';
import { changedTls } from './webhook-tls.dto.js';
import {
  type CreateWebhook,
  type RotateSecret,
  toWebhookResponse,
  type UpdateWebhook,
  type WebhookQuery,
  type WebhookResponse,
  type WebhookWithSecret,
  withSecret,
} from './webhooks.dto.js';

const GENERATED_KEY_BYTES = 32;
/** Secrets that are valid at once after repeated rotations; the oldest are dropped. */
const MAX_SECRETS = 10;
const NONCE_BYTES = 12;
/** Changes of one owner that run at a time: those of others need connections too. */
const CHANGES_AT_ONCE = 2;

/** Registration of webhooks. For a caller, webhooks of other owners do not exist. */
@Injectable()
export class WebhooksService extends EventEmitter<{
  /** A change may have repaired the webhook. The change is answered after what is passed to `waitFor`. */
  repaired: [webhookId: string, waitFor: (work: Promise<void>) => void];
}> {
  private readonly changes = new KeyedSemaphore(CHANGES_AT_ONCE);

  constructor(
    @InjectRepository(WebhookEntity) private readonly webhooks: Repository<WebhookEntity>,
    private readonly store: WebhooksStore,
    private readonly audit: AuditLogStore,
    private readonly cache: WebhookCache,
    private readonly outbound: OutboundHttpClient,
    private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    super();
  }

  /** Registers a webhook; the only time, with rotation, that its secret is shown. */
  async create(input: CreateWebhook, principal: Actor): Promise<WebhookWithSecret> {
    checkPatterns(input.events, principal);
    const id = newId('wh');
    const secret = givenOrNewSecret(input.secret);
    const ownerId = ownerOfNew(input.ownerId, principal);
    const webhook = this.webhooks.create({
      id,
      ownerId,
      url: this.checkedUrl(input.url),
      events: input.events,
      name: input.name ?? null,
      description: input.description ?? null,
      active: input.active,
      timeoutMs: input.timeoutMs ?? null,
      retryPolicy: input.retryPolicy ?? null,
      ...changedDispatchPolicy(DEFAULT_DISPATCH_POLICY, input),
      sealedSecrets: this.seal(id, [secret]),
      sealedHeaders: input.headers ? this.seal(id, input.headers) : null,
      sealedTls: this.sealedTls(id, {}, input.tls ?? null),
      disabledReason: null,
      createdBy: attributionOf(principal),
    });
    await this.inTransaction(principal, async (tx) => {
      await this.store.lockRegistrations(tx, ownerId);
      await this.requireCapacity(tx, ownerId);
      if (!input.allowDuplicateUrl) await requireNewUrl(tx, webhook);
      await tx.insert(WebhookEntity, webhook);
      const changes = webhookChanges(this.config.secretsKey, undefined, webhook);
      await this.record(tx, principal, 'webhook.created', webhook, changes);
    });
    await this.cache.refresh();
    return withSecret(this.toResponse(await this.find(id, principal, 'webhooks:write')), secret);
  }

  async list(query: WebhookQuery, principal: Principal): Promise<Page<WebhookResponse>> {
    const rows = await this.webhooks.find({
      where: {
        ...notDeleted(ownerListed(principal, 'webhooks:read', query)),
        ...(query.active === undefined ? {} : { active: query.active }),
        ...(query.cursor === undefined ? {} : { id: LessThan(decodeCursor(query.cursor)) }),
      },
      order: { id: 'DESC' },
      take: query.limit + 1,
    });
    return page(
      rows.map((row) => this.toResponse(row)),
      query.limit,
    );
  }

  async get(id: string, principal: Principal): Promise<WebhookResponse> {
    return this.toResponse(await this.find(id, principal, 'webhooks:read'));
  }

  /** Changes the given fields; retries that are pending use the new settings. */
  async update(id: string, change: UpdateWebhook, principal: Actor): Promise<WebhookResponse> {
    const { url, events, headers, tls, active, allowDuplicateUrl, ...settings } = change;
    await this.inTransaction(principal, async (tx) => {
      // The row stays locked: of two changes at a time, the second sees the result of the first.
      const present = await this.find(id, principal, 'webhooks:switch', tx);
      checkMayChange(present, change, principal);
      if (events) checkPatterns(events, principal);
      const href = url === undefined ? undefined : this.checkedUrl(url);
      if (href !== undefined && href !== present.url && !allowDuplicateUrl) {
        await this.store.lockRegistrations(tx, present.ownerId);
        await requireNewUrl(tx, { ownerId: present.ownerId, url: href });
      }
      await tx.update(WebhookEntity, id, {
        ...settings,
        ...changedDispatchPolicy(present, change),
        ...(href === undefined ? {} : { url: href }),
        ...(events === undefined ? {} : { events }),
        ...(headers === undefined ? {} : { sealedHeaders: headers && this.seal(id, headers) }),
        ...(tls === undefined ? {} : { sealedTls: this.sealedTls(id, this.tlsOf(present), tls) }),
        // Its owner has switched it: why Tidings had switched it off does not matter any more.
        ...(active === undefined ? {} : { active, disabledReason: null, disabledAt: null }),
        updatedAt: () => 'now()',
      });
      const changed = await tx.findOneByOrFail(WebhookEntity, { id });
      const changes = webhookChanges(this.config.secretsKey, present, changed);
      if (Object.keys(changes).length > 0) {
        await this.record(tx, principal, 'webhook.updated', changed, changes);
      }
    });
    await this.cache.refresh();
    if (active === true || [url, headers, tls].some((each) => each !== undefined)) {
      const work: Promise<void>[] = [];
      this.emit('repaired', id, (promise) => work.push(promise));
      await Promise.all(work);
    }
    return this.get(id, principal);
  }

  /** Its pending deliveries are canceled soon, whenever they would be due. */
  async delete(id: string, principal: Actor): Promise<void> {
    await this.inTransaction(principal, async (tx) => {
      const webhook = await this.find(id, principal, 'webhooks:write', tx);
      checkPatterns(webhook.events, principal);
      await tx.update(WebhookEntity, id, { deletedAt: () => 'now()', active: false });
      await this.record(tx, principal, 'webhook.deleted', webhook, deletedWebhook(webhook));
    });
    await this.cache.refresh();
  }

  /** A new secret; until the overlap ends, requests are signed with the present ones too. */
  async rotateSecret(
    id: string,
    input: RotateSecret,
    principal: Actor,
  ): Promise<WebhookWithSecret> {
    const secret = givenOrNewSecret(input.secret);
    await this.inTransaction(principal, async (tx) => {
      const row = await this.find(id, principal, 'webhooks:write', tx);
      checkPatterns(row.events, principal);
      const nowMs = this.clock.nowMs();
      const end = new Date(nowMs + input.overlapMs).toISOString();
      const previous = validSecrets(
        openSecrets(this.config.secretsKey, id, row.sealedSecrets),
        nowMs,
      )
        .map(({ key, expiresAt }) => ({ key, expiresAt: earlier(expiresAt, end) }))
        .slice(0, MAX_SECRETS - 1);
      const kept = input.overlapMs === 0 ? [] : previous;
      await tx.update(WebhookEntity, id, {
        sealedSecrets: this.seal(id, [secret, ...kept]),
        updatedAt: () => 'now()',
      });
      const changes = rotatedSecret(input.overlapMs);
      await this.record(tx, principal, 'webhook.secret_rotated', row, changes);
    });
    await this.cache.refresh();
    return withSecret(await this.get(id, principal), secret);
  }

  /**
   * Switches a webhook off because of its responses, for example one with status 410.
   * @returns whether it was on: of several nodes, one switches it off
   */
  async disable(id: string, reason: string): Promise<boolean> {
    const wasActive = await this.webhooks.manager.transaction(async (tx) => {
      const before = await tx.findOne(WebhookEntity, {
        where: { id, active: true },
        lock: { mode: 'pessimistic_write' },
      });
      if (!before) return false;
      await tx.update(WebhookEntity, id, {
        active: false,
        disabledReason: reason,
        disabledAt: () => 'now()',
        updatedAt: () => 'now()',
      });
      const after = await tx.findOneByOrFail(WebhookEntity, { id });
      const changes = webhookChanges(this.config.secretsKey, before, after);
      await this.record(tx, 'system', 'webhook.disabled', before, changes);
      return true;
    });
    await this.cache.refresh();
    return wasActive;
  }

  private record(
    tx: EntityManager,
    actor: AuditActor,
    action: AuditAction,
    { id, ownerId }: Pick<WebhookEntity, 'id' | 'ownerId'>,
    changes: Changes,
  ): Promise<void> {
    return this.audit.record(tx, actor, { action, resourceId: id, ownerId, changes });
  }

  private inTransaction(
    { ownerId }: Principal,
    run: (tx: EntityManager) => Promise<void>,
  ): Promise<void> {
    return this.changes.take(ownerId, () => this.webhooks.manager.transaction(run));
  }

  /** @param tx the row stays locked until it ends */
  private async find(
    id: string,
    principal: Principal,
    ability: Ability,
    tx?: EntityManager,
  ): Promise<WebhookEntity> {
    const row = isId('wh', id)
      ? await (tx ?? this.webhooks.manager).findOne(WebhookEntity, {
          where: { ...notDeleted(ownerScope(principal, ability)), id },
          ...(tx && { lock: { mode: 'pessimistic_write' } }),
        })
      : null;
    if (!row) throw new NotFoundError('webhook', id);
    return row;
  }

  private async requireCapacity(tx: EntityManager, ownerId: string | null): Promise<void> {
    const most = this.config.webhooks.maxPerOwner;
    if ((await tx.countBy(WebhookEntity, ofOwner(ownerId))) < most) return;
    const detail = `An owner has at most ${most} webhooks: delete one first.`;
    throw new AppError('too_many_requests', 'too_many_webhooks', detail);
  }

  private checkedUrl(raw: string): string {
    const parsed = this.outbound.parseUrl(raw);
    if (!parsed.ok) throw InvalidInputError.at('url', parsed.message);
    return parsed.url.href;
  }

  private toResponse(webhook: WebhookEntity): WebhookResponse {
    const headers = openHeaders(this.config.secretsKey, webhook.id, webhook.sealedHeaders);
    const tls = webhook.sealedTls === null ? null : shownTls(this.tlsOf(webhook));
    return toWebhookResponse(webhook, { headerNames: Object.keys(headers), tls });
  }

  private tlsOf({ id, sealedTls }: WebhookEntity): TlsMaterial {
    return openTls(this.config.secretsKey, id, sealedTls);
  }

  private sealedTls(
    id: string,
    present: TlsMaterial,
    change: Parameters<typeof changedTls>[1],
  ): string | null {
    const changed = changedTls(present, change, this.clock.nowMs());
    if (changed === undefined) return null;
    const problem = this.outbound.tlsProblem(changed);
    if (problem) throw InvalidInputError.at(`tls.${problem.field}`, problem.message);
    return this.seal(id, changed);
  }

  private seal(
    webhookId: string,
    value: SigningSecret[] | Record<string, string> | TlsMaterial,
  ): string {
    const nonce = randomBytes(NONCE_BYTES);
    return seal(this.config.secretsKey, webhookId, JSON.stringify(value), nonce);
  }
}

/** Those that are not deleted, of this owner; undefined: of all owners. */
const notDeleted = (ownerId: string | undefined): FindOptionsWhere<WebhookEntity> => ({
  deletedAt: IsNull(),
  ...(ownerId === undefined ? {} : { ownerId }),
});

/** @throws AppError `duplicate_url` if another webhook of the owner has the URL */
async function requireNewUrl(
  tx: EntityManager,
  { ownerId, url }: Pick<WebhookEntity, 'ownerId' | 'url'>,
): Promise<void> {
  const other = await tx.findOne(WebhookEntity, {
    select: { id: true },
    where: { ...ofOwner(ownerId), url },
  });
  if (!other) return;
  const message = `is the URL of ${other.id}, too; allowDuplicateUrl: true allows that`;
  throw new AppError('conflict', 'duplicate_url', `url ${message}`, [{ field: 'url', message }]);
}

const ofOwner = (ownerId: string | null): FindOptionsWhere<WebhookEntity> => ({
  ownerId: ownerId ?? IsNull(),
  deletedAt: IsNull(),
});

function givenOrNewSecret(given: string | undefined): SigningSecret {
  if (given === undefined) return { key: randomBytes(GENERATED_KEY_BYTES).toString('base64') };
  const parsed = parseSecret(given);
  if (!parsed.ok) throw InvalidInputError.at('secret', parsed.message);
  return parsed.secret;
}

const earlier = (a: string | undefined, b: string): string => (a !== undefined && a < b ? a : b);
