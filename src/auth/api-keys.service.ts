import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { Inject, Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { LRUCache } from 'lru-cache';
import { type EntityManager, type FindOptionsWhere, In, LessThan, Repository } from 'typeorm';
import { TIMINGS, type Timings } from '../config/timings.js';
import { AppError, InvalidInputError, NotFoundError } from '../shared/app-error.js';
import { isId, newId } from '../shared/ids.js';
import { type Change, changesOf } from '../shared/audit.js';
import { decodeCursor, type Page, page } from '../shared/pagination.js';
import { AuditLogStore } from '../database/audit-log.store.js';
import { Clock } from '../database/clock.service.js';
import { ApiKeyEntity } from '../database/entities/api-key.entity.js';
import { isForeignKeyViolation } from '../database/sql-errors.js';
import { grant, API_KEY_BYTES, apiKeyHash, apiKeyPrefix, apiKeyText, isApiKey } from './api-key.js';
import type { ApiKeysQuery, NewApiKey } from './api-keys.dto.js';
import { knownRoles } from '../shared/roles.js';
import { type Actor, ownerListed, ownerScope, type Principal } from './principal.js';

const MAX_KNOWN_KEYS = 5_000;

/** Creates, lists and revokes API keys, and authenticates callers that present one. */
@Injectable()
export class ApiKeysService {
  /** By hash. Only valid keys: an unknown one is looked up again, it may have been created meanwhile. */
  readonly #known: LRUCache<string, Principal>;
  #revocations = 0;

  constructor(
    @InjectRepository(ApiKeyEntity) private readonly keys: Repository<ApiKeyEntity>,
    private readonly audit: AuditLogStore,
    private readonly clock: Clock,
    @Inject(TIMINGS) { apiKeyTrustMs }: Timings,
  ) {
    this.#known = new LRUCache({ max: MAX_KNOWN_KEYS, ttl: apiKeyTrustMs });
  }

  /**
   * Creates a key for the caller or, if it is an admin, for any owner.
   *
   * @returns the stored row and the key, which cannot be read again
   * @throws AppError `forbidden` for rights that the caller does not have itself; `invalid_api_key` if
   * it presented a key that was revoked meanwhile
   */
  async create(principal: Actor, input: NewApiKey): Promise<{ entity: ApiKeyEntity; key: string }> {
    if (input.expiresAt && input.expiresAt.getTime() <= this.clock.nowMs()) {
      throw InvalidInputError.at('expiresAt', 'must be in the future');
    }
    const { sub: userId, ...request } = input;
    const { topics, expiresAt, ...granted } = grant(principal, { ...request, userId });
    const key = apiKeyText(randomBytes(API_KEY_BYTES));
    const entity = this.keys.create({
      id: newId('key'),
      ...granted,
      name: input.name,
      hash: apiKeyHash(key),
      prefix: apiKeyPrefix(key),
      topics: topics ? [...topics] : null,
      expiresAt: expiresAt ?? null,
      parentId: principal.apiKeyId ?? null,
      createdAt: this.clock.now(),
    });
    await this.insert(entity, principal);
    return { entity, key };
  }

  /** The caller's keys, newest first; an admin sees those of every owner. */
  async list(principal: Principal, query: ApiKeysQuery): Promise<Page<ApiKeyEntity>> {
    const { limit, cursor } = query;
    const rows = await this.keys.find({
      where: {
        ...of(ownerListed(principal, ABILITY, query)),
        ...(cursor && { id: LessThan(decodeCursor(cursor)) }),
      },
      order: { id: 'DESC' },
      take: limit + 1,
    });
    return page(rows, limit);
  }

  /** @throws NotFoundError also for the key of another owner */
  async get(principal: Principal, id: string): Promise<ApiKeyEntity> {
    const key = isId('key', id)
      ? await this.keys.findOneBy({ ...owned(principal), id })
      : undefined;
    if (!key) throw new NotFoundError('api key', id);
    return key;
  }

  /**
   * Revokes a key, and those that were created with it, and so on: at once on this node, within
   * `apiKeyTrustMs` on every other.
   *
   * @throws NotFoundError also for the key of another owner
   */
  async revoke(principal: Actor, id: string): Promise<void> {
    await this.keys.manager.transaction(async (tx) => {
      const where = { ...owned(principal), id };
      const key = isId('key', id) ? await locked(tx, where) : [];
      if (key.length === 0) throw new NotFoundError('api key', id);
      const all = [...key, ...(await this.descendants(tx, key))];
      await tx.delete(ApiKeyEntity, { id });
      await this.audit.record(tx, principal, ...all.map(revoked));
    });
    this.#revocations++;
    this.#known.clear();
  }

  /**
   * The principal of a key.
   *
   * @throws AppError `invalid_api_key` (unknown or revoked), `api_key_expired`
   */
  async authenticate(key: string): Promise<Principal> {
    if (!isApiKey(key)) throw invalidApiKey();
    const hash = apiKeyHash(key);
    const principal = this.#known.get(hash) ?? (await this.lookUp(hash));
    if (principal.expiresAtMs !== undefined && principal.expiresAtMs <= this.clock.nowMs()) {
      throw new AppError('unauthenticated', 'api_key_expired', 'The API key has expired.');
    }
    return principal;
  }

  /** Those that were created with these, and so on: once a key is locked, none is created with it. */
  private async descendants(
    tx: EntityManager,
    keys: readonly ApiKeyEntity[],
  ): Promise<ApiKeyEntity[]> {
    const children = await locked(tx, { parentId: In(keys.map(({ id }) => id)) });
    return children.length === 0 ? [] : [...children, ...(await this.descendants(tx, children))];
  }

  private async insert(entity: ApiKeyEntity, actor: Actor): Promise<void> {
    try {
      await this.keys.manager.transaction(async (tx) => {
        await tx.insert(ApiKeyEntity, entity);
        await this.audit.record(tx, actor, created(entity));
      });
    } catch (error) {
      throw isForeignKeyViolation(error) ? invalidApiKey() : error;
    }
  }

  private async lookUp(hash: string): Promise<Principal> {
    // Both are taken before the row is read: it may be deleted before the result arrives.
    const start = performance.now();
    const revocations = this.#revocations;
    const row = await this.keys.findOneBy({ hash });
    if (!row) throw invalidApiKey();
    const principal = toPrincipal(row);
    if (revocations === this.#revocations) this.#known.set(hash, principal, { start });
    return principal;
  }
}

const ABILITY = 'api-keys:manage';

/** Without a member that is undefined, which TypeORM would ignore. */
const of = (ownerId: string | undefined): FindOptionsWhere<ApiKeyEntity> =>
  ownerId === undefined ? {} : { ownerId };

const owned = (principal: Principal): FindOptionsWhere<ApiKeyEntity> =>
  of(ownerScope(principal, ABILITY));

const locked = (
  tx: EntityManager,
  where: FindOptionsWhere<ApiKeyEntity>,
): Promise<ApiKeyEntity[]> =>
  tx.find(ApiKeyEntity, { where, order: { id: 'ASC' }, lock: { mode: 'pessimistic_write' } });

const created = (key: ApiKeyEntity): Change => ({
  action: 'api_key.created',
  resourceId: key.id,
  ownerId: key.ownerId,
  changes: changesOf({}, auditedOf(key)),
});

const revoked = (key: ApiKeyEntity): Change => ({
  action: 'api_key.revoked',
  resourceId: key.id,
  ownerId: key.ownerId,
  changes: changesOf(auditedOf(key), {}),
});

/** What the audit log shows of a key: all but its hash. */
const auditedOf = ({ name, userId, prefix, roles, topics, expiresAt, parentId }: ApiKeyEntity) => ({
  name,
  userId,
  prefix,
  roles,
  topics,
  expiresAt,
  parentId,
});

const toPrincipal = (key: ApiKeyEntity): Principal => ({
  ownerId: key.ownerId,
  userId: key.userId,
  roles: new Set(knownRoles(key.roles)),
  topics: key.topics ?? undefined,
  expiresAtMs: key.expiresAt?.getTime(),
  apiKeyId: key.id,
});

const invalidApiKey = (): AppError =>
  new AppError('unauthenticated', 'invalid_api_key', 'The API key is unknown or was revoked.');
