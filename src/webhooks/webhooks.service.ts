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
import { isAdmin, canSubscribe, ownerScope, type Principal } from '../auth/principal.js';
import { AppError, InvalidInputError, NotFoundError } from '../shared/app-error.js';
import { isId, newId } from '../shared/ids.js';
import { decodeCursor, type Page, page } from '../shared/pagination.js';
import { seal } from '../shared/secret-box.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { Clock } from '../database/clock.service.js';
import { WebhookEntity } from '../database/entities/webhook.entity.js';
import { OutboundHttpClient } from '../outbound/outbound-http.client.js';
import { openHeaders, openSecrets } from './registered-webhook.js';
import { changedDispatchPolicy, DEFAULT_DISPATCH_POLICY } from './dispatch-policy.dto.js';
import { parseSecret, type SigningSecret, validSecrets } from './signing-secret.js';
import { WebhookCache } from './webhook-cache.service.js';
import { WebhooksStore } from './webhooks.store.js';
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

/** Registration of webhooks. For a caller, webhooks of other owners do not exist. */
@Injectable()
export class WebhooksService extends EventEmitter<{
  /** A change may have repaired the webhook. The change is answered after what is passed to `waitFor`. */
  repaired: [webhookId: string, waitFor: (work: Promise<void>) => void];
}> {
  constructor(
    @InjectRepository(WebhookEntity) private readonly webhooks: Repository<WebhookEntity>,
    private readonly store: WebhooksStore,
    private readonly cache: WebhookCache,
    private readonly outbound: OutboundHttpClient,
    private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
  ) {
    super();
  }

  /** Registers a webhook; the only time, with rotation, that its secret is shown. */
  async create(input: CreateWebhook, principal: Principal): Promise<WebhookWithSecret> {
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
      disabledReason: null,
    });
    await this.webhooks.manager.transaction(async (tx) => {
      await this.store.lockRegistrations(tx, ownerId);
      await this.requireCapacity(tx, ownerId);
      if (!input.allowDuplicateUrl) await requireNewUrl(tx, webhook);
      await tx.insert(WebhookEntity, webhook);
    });
    await this.cache.refresh();
    return withSecret(this.toResponse(await this.find(id, principal)), secret);
  }

  async list(query: WebhookQuery, principal: Principal): Promise<Page<WebhookResponse>> {
    const rows = await this.webhooks.find({
      where: {
        ...visibleTo(principal),
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
    return this.toResponse(await this.find(id, principal));
  }

  /** Changes the given fields; retries that are pending use the new settings. */
  async update(id: string, change: UpdateWebhook, principal: Principal): Promise<WebhookResponse> {
    const { url, events, headers, active, allowDuplicateUrl, ...settings } = change;
    await this.webhooks.manager.transaction(async (tx) => {
      // The row stays locked: of two changes at a time, the second sees the result of the first.
      const present = await this.find(id, principal, tx);
      // Also where the patterns stay: a new URL would receive what they select.
      checkPatterns(events ?? present.events, principal);
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
        // Its owner has switched it: why Tidings had switched it off does not matter any more.
        ...(active === undefined ? {} : { active, disabledReason: null, disabledAt: null }),
        updatedAt: () => 'now()',
      });
    });
    await this.cache.refresh();
    if (active === true || url !== undefined || headers !== undefined) {
      const work: Promise<void>[] = [];
      this.emit('repaired', id, (promise) => work.push(promise));
      await Promise.all(work);
    }
    return this.get(id, principal);
  }

  /** Its pending deliveries are canceled soon, whenever they would be due. */
  async delete(id: string, principal: Principal): Promise<void> {
    await this.find(id, principal);
    await this.webhooks.update(id, { deletedAt: () => 'now()', active: false });
    await this.cache.refresh();
  }

  /** A new secret; until the overlap ends, requests are signed with the present ones too. */
  async rotateSecret(
    id: string,
    input: RotateSecret,
    principal: Principal,
  ): Promise<WebhookWithSecret> {
    const secret = givenOrNewSecret(input.secret);
    await this.webhooks.manager.transaction(async (tx) => {
      const row = await this.find(id, principal, tx);
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
    });
    await this.cache.refresh();
    return withSecret(await this.get(id, principal), secret);
  }

  /**
   * Switches a webhook off because of its responses, for example one with status 410.
   * @returns whether it was on: of several nodes, one switches it off
   */
  async disable(id: string, reason: string): Promise<boolean> {
    const { affected } = await this.webhooks.update(
      { id, active: true },
      {
        active: false,
        disabledReason: reason,
        disabledAt: () => 'now()',
        updatedAt: () => 'now()',
      },
    );
    await this.cache.refresh();
    return affected === 1;
  }

  /** @param tx the row stays locked until it ends */
  private async find(id: string, principal: Principal, tx?: EntityManager): Promise<WebhookEntity> {
    const row = isId('wh', id)
      ? await (tx ?? this.webhooks.manager).findOne(WebhookEntity, {
          where: { ...visibleTo(principal), id },
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
    return toWebhookResponse(webhook, Object.keys(headers));
  }

  private seal(webhookId: string, value: SigningSecret[] | Record<string, string>): string {
    const nonce = randomBytes(NONCE_BYTES);
    return seal(this.config.secretsKey, webhookId, JSON.stringify(value), nonce);
  }
}

function visibleTo(principal: Principal): FindOptionsWhere<WebhookEntity> {
  const owner = ownerScope(principal);
  return { deletedAt: IsNull(), ...(owner === undefined ? {} : { ownerId: owner }) };
}

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

function ownerOfNew(given: string | undefined, principal: Principal): string | null {
  if (isAdmin(principal)) return given ?? null;
  if (given === undefined || given === principal.ownerId) return principal.ownerId;
  throw new AppError('forbidden', 'foreign_owner', 'Only an admin registers for another owner.');
}

/** A caller that may receive some topics only must not widen them by a webhook. */
function checkPatterns(patterns: string[], principal: Principal): void {
  const refused = patterns.filter((pattern) => !canSubscribe(principal, pattern));
  if (refused.length === 0) return;
  throw new AppError(
    'forbidden',
    'topic_not_allowed',
    `Your credential does not allow you to receive ${refused.join(', ')}.`,
  );
}

function givenOrNewSecret(given: string | undefined): SigningSecret {
  if (given === undefined) return { key: randomBytes(GENERATED_KEY_BYTES).toString('base64') };
  const parsed = parseSecret(given);
  if (!parsed.ok) throw InvalidInputError.at('secret', parsed.message);
  return parsed.secret;
}

const earlier = (a: string | undefined, b: string): string => (a !== undefined && a < b ? a : b);
