import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { type EntityManager, MoreThan, type Repository } from 'typeorm';
import type { Actor } from '../auth/principal.js';
import { AppError, InvalidInputError, NotFoundError } from '../shared/app-error.js';
import { type AuditAction, changesOf } from '../shared/audit.js';
import {
  isEventType,
  isReservedType,
  isSystemEventType,
  SYSTEM_EVENT_TYPES,
  type SystemEventType,
} from '../shared/event-pattern.js';
import { decodeCursor, encodeCursor, type Page } from '../shared/pagination.js';
import { AuditLogStore } from '../database/audit-log.store.js';
import { EventTypeEntity } from '../database/entities/event-type.entity.js';
import { TRANSPORTS } from './event-type.js';
import { EventTypeCache } from './event-type-cache.service.js';
import { EventTypesStore } from './event-types.store.js';
import {
  builtInResponse,
  type CreateEventType,
  type EventTypeQuery,
  type EventTypeResponse,
  type PutEventType,
  toEventTypeResponse,
} from './event-types.dto.js';

/** Every node keeps all of them in memory, with their schemas. */
const MAX_TYPES = 2_000;

const isBuiltIn = (name: string): name is SystemEventType => isSystemEventType(name);

/** The catalogue: the types that admins added, and the built-in ones. */
@Injectable()
export class EventTypesService {
  constructor(
    @InjectRepository(EventTypeEntity) private readonly types: Repository<EventTypeEntity>,
    private readonly cache: EventTypeCache,
    private readonly store: EventTypesStore,
    private readonly audit: AuditLogStore,
  ) {}

  /** @throws AppError `conflict`: `event_type_exists`, `event_type_built_in`, `name_taken` */
  async create({ name, ...settings }: CreateEventType, actor: Actor): Promise<EventTypeResponse> {
    requireWritable(name);
    await this.types.manager.transaction(async (tx) => {
      await this.checkNames(tx, name, settings.channel);
      await requireCapacity(tx);
      if (await this.add(tx, name, columnsOf(settings), actor)) return;
      throw conflict('event_type_exists', `There is an event type ${name} already.`);
    });
    await this.cache.refresh();
    return this.get(name);
  }

  /** In the order of their names, with the built-in ones. */
  async list({ limit, cursor }: EventTypeQuery): Promise<Page<EventTypeResponse>> {
    const after = cursor === undefined ? '' : decodeCursor(cursor);
    const rows = await this.types.find({
      where: { name: MoreThan(after) },
      order: { name: 'ASC' },
      take: limit + 1,
    });
    const builtIn = SYSTEM_EVENT_TYPES.filter((name) => name > after).map(builtInResponse);
    const all = [
      ...builtIn,
      ...rows.filter(({ name }) => !isBuiltIn(name)).map(toEventTypeResponse),
    ];
    all.sort((a, b) => (a.name < b.name ? -1 : 1));
    const data = all.slice(0, limit);
    const last = data.at(-1);
    return { data, nextCursor: all.length > limit && last ? encodeCursor(last.name) : null };
  }

  async get(name: string): Promise<EventTypeResponse> {
    if (isBuiltIn(name)) return builtInResponse(name);
    const row = isEventType(name) ? await this.types.findOneBy({ name }) : null;
    if (!row) throw notFound(name);
    return toEventTypeResponse(row);
  }

  /** Adds or replaces a type. Absent settings take their defaults. @throws as {@link create} */
  async put(
    name: string,
    settings: PutEventType,
    actor: Actor,
  ): Promise<{ type: EventTypeResponse; isNew: boolean }> {
    if (!isEventType(name)) {
      const message = 'must be segments of letters, digits, _ and -, joined by dots';
      throw InvalidInputError.at('name', message);
    }
    requireWritable(name);
    const columns = columnsOf(settings);
    const isNew = await this.types.manager.transaction(async (tx) => {
      await this.checkNames(tx, name, settings.channel);
      return this.set(tx, name, columns, actor);
    });
    await this.cache.refresh();
    return { type: await this.get(name), isNew };
  }

  /** From then on its events are published as those of an unknown type. */
  async delete(name: string, actor: Actor): Promise<void> {
    requireWritable(name);
    await this.types.manager.transaction(async (tx) => {
      const before = isEventType(name) ? await locked(tx, name) : null;
      if (!before) throw notFound(name);
      await tx.delete(EventTypeEntity, { name });
      await this.record(tx, actor, 'event_type.deleted', name, auditedOf(before), {});
    });
    await this.cache.refresh();
  }

  /** @returns whether it is new; another request may add or delete it at the same time */
  private async set(
    tx: EntityManager,
    name: string,
    columns: Columns,
    actor: Actor,
  ): Promise<boolean> {
    const before = await locked(tx, name);
    if (before) {
      await tx.update(EventTypeEntity, { name }, { ...columns, updatedAt: () => 'now()' });
      const [old, now] = [auditedOf(before), auditedOf(columns)];
      await this.record(tx, actor, 'event_type.updated', name, old, now);
      return false;
    }
    await requireCapacity(tx);
    return (await this.add(tx, name, columns, actor)) || this.set(tx, name, columns, actor);
  }

  /** @returns false if there is one already */
  private async add(
    tx: EntityManager,
    name: string,
    columns: Columns,
    actor: Actor,
  ): Promise<boolean> {
    const inserted: { raw: unknown } = await tx
      .createQueryBuilder()
      .insert()
      .into(EventTypeEntity)
      .values({ name, ...columns })
      .orIgnore()
      .returning('name')
      .execute();
    if ((inserted.raw as unknown[]).length === 0) return false;
    await this.record(tx, actor, 'event_type.created', name, {}, auditedOf(columns));
    return true;
  }

  /** The types have no owner: what is recorded is the operator's to read. */
  private async record(
    tx: EntityManager,
    actor: Actor,
    action: AuditAction,
    name: string,
    before: Record<string, unknown>,
    after: Record<string, unknown>,
  ): Promise<void> {
    const changes = changesOf(before, after);
    if (Object.keys(changes).length === 0) return;
    await this.audit.record(tx, actor, { action, resourceId: name, ownerId: null, changes });
  }

  /**
   * No name is both a type and a channel, so `/ws/{name}` means one thing.
   *
   * @throws AppError `name_taken`
   */
  private async checkNames(
    tx: EntityManager,
    name: string,
    channel: string | null | undefined,
  ): Promise<void> {
    await this.store.lock(tx);
    if ((await this.store.usesOf(tx, name, name)).isChannel) {
      throw conflict('name_taken', `${name} is the name of a channel.`);
    }
    if (channel === null || channel === undefined) return;
    const isType = channel === name || (await this.store.usesOf(tx, channel, name)).isType;
    if (isType || isReservedType(channel)) {
      throw conflict('name_taken', `${channel} is the name of an event type.`, 'channel');
    }
  }
}

async function requireCapacity(tx: EntityManager): Promise<void> {
  if ((await tx.count(EventTypeEntity)) < MAX_TYPES) return;
  throw conflict('too_many_event_types', `The catalogue holds at most ${MAX_TYPES} types.`);
}

const locked = (tx: EntityManager, name: string): Promise<EventTypeEntity | null> =>
  tx.findOne(EventTypeEntity, { where: { name }, lock: { mode: 'pessimistic_write' } });

const notFound = (name: string) => new NotFoundError('event type', name);

function requireWritable(name: string): void {
  if (!isReservedType(name)) return;
  throw conflict('event_type_built_in', `The system itself publishes ${name}: it stays as it is.`);
}

const conflict = (code: string, detail: string, field = 'name') =>
  new AppError('conflict', code, detail, [{ field, message: detail }]);

type Columns = ReturnType<typeof columnsOf>;

/** What the audit log shows of a type. */
const auditedOf = ({
  description,
  schema,
  priority,
  transports,
  durable,
  coalesceMs,
  channel,
}: Columns): Record<string, unknown> => ({
  description,
  schema: schema === null ? null : (JSON.parse(schema) as unknown),
  priority,
  transports,
  durable,
  coalesceMs,
  channel,
});

const columnsOf = ({ durable, transports, ...settings }: PutEventType) => ({
  durable,
  transports: transports ?? (durable ? [...TRANSPORTS] : ['socket' as const]),
  description: settings.description ?? null,
  schema: settings.schema ? JSON.stringify(settings.schema) : null,
  priority: settings.priority,
  coalesceMs: settings.coalesce?.intervalMs ?? null,
  channel: settings.channel ?? null,
});
