import { isatty } from 'node:tty';
import { ConsoleLogger, type LogLevel } from '@nestjs/common';
import type { Config } from '../config/env.js';

/** The framework's account of its own start: one line per module and route, of use to nobody. */
const CHATTER = new Set([
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

/** One line per record; JSON where machines read it. Text from outside is a value, never a template. */
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
    if (typeof context === 'string' && CHATTER.has(context)) return;
    super.log(message, ...rest);
  }
}
