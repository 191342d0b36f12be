import { isatty } from 'node:tty';
import { ConsoleLogger, type LogLevel } from '@nestjs/common';
import type { Config } from '../config/env.js';
import { FailureRecord } from '../shared/log-failure.js';

/** Contexts of the framework's own start: one line per module and route, which no operator needs. */
const FRAMEWORK_CONTEXTS = new Set([
  'InstanceLoader',
  'NestFactory',
  'RoutesResolver',
  'RouterExplorer',
  'WebSocketsController',
  'NestApplication',
  'BullModule',
]);

const STDOUT = 1;
const LEVELS: LogLevel[] = ['fatal', 'error', 'warn', 'log', 'debug', 'verbose'];

type RestOf<T extends unknown[]> = T extends [unknown, ...infer Rest] ? Rest : never;
type JsonOptions = Parameters<ConsoleLogger['getJsonLogObject']>[1];

/** One record per call: text for people, JSON in production. Text from outside is never a template. */
export class ProductLogger extends ConsoleLogger {
  constructor({ production, logLevel }: Pick<Config, 'production' | 'logLevel'>) {
    super({
      json: production,
      colors: !production && isatty(STDOUT),
      compact: true,
      logLevels: LEVELS.slice(0, LEVELS.indexOf(logLevel) + 1),
    });
  }

  override log(message: unknown, ...rest: unknown[]): void {
    const context = rest.at(-1);
    if (typeof context === 'string' && FRAMEWORK_CONTEXTS.has(context)) return;
    super.log(message, ...rest);
  }

  /** Errors that others log themselves (the framework, at the start): their fields may have passwords. */
  protected override printMessages(
    messages: unknown[],
    ...rest: RestOf<Parameters<ConsoleLogger['printMessages']>>
  ): void {
    const safe = messages.map((each) =>
      each instanceof Error ? new FailureRecord(each.message, each, {}) : each,
    );
    super.printMessages(safe, ...rest);
  }

  protected override stringifyMessage(message: unknown, logLevel: LogLevel): string {
    return super.stringifyMessage(
      message instanceof FailureRecord ? message.toString() : message,
      logLevel,
    );
  }

  /** A failure's fields stand beside `message`; they cannot replace what every record has. */
  protected override getJsonLogObject(message: unknown, options: JsonOptions) {
    if (!(message instanceof FailureRecord)) return super.getJsonLogObject(message, options);
    const { message: text, ...fields } = message.toJSON();
    return { ...fields, ...super.getJsonLogObject(text, options) };
  }
}
