import { isIPv6 } from 'node:net';
import { Logger } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { signDevelopmentToken } from '../auth/development-token.js';
import type { Config } from '../config/env.js';
import { DemoWebhook } from '../request-bin/demo-webhook.service.js';

/**
 * Logs the address of the process in a line that scripts can wait for; in development also prints
 * what to try next.
 */
export async function announce(app: NestFastifyApplication, config: Config): Promise<void> {
  const origin = originOf(new URL(await app.getUrl()).port, config.host);
  const isDemo =
    config.databaseUrl === undefined &&
    config.roles.has('api') &&
    isReachedAsLocalhost(config.host);
  if (isDemo) await app.get(DemoWebhook).ensure(origin);
  const roles = [...config.roles].join(', ');
  new Logger('Tidings').log(`listening on ${origin} (roles: ${roles})`);
  if (!config.production && config.roles.has('api')) {
    process.stdout.write(welcome(origin, tokenFor(config), isDemo));
  }
}

/** Of a secret that was generated here only: one that was configured may be that of others, too. */
function tokenFor({ auth }: Config): string | undefined {
  const { developmentSecret } = auth;
  return developmentSecret && signDevelopmentToken(auth, developmentSecret, Date.now());
}

/** Whether `localhost`, which is 127.0.0.1 for requests of ours, reaches this process. */
const isReachedAsLocalhost = (host: string | undefined): boolean =>
  host === undefined || ['::', '0.0.0.0', '127.0.0.1', 'localhost'].includes(host);

function originOf(port: string, host: string | undefined): string {
  if (host === undefined || isReachedAsLocalhost(host)) return `http://localhost:${port}`;
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

function welcome(origin: string, token: string | undefined, isDemo: boolean): string {
  const lines = [
    '',
    `  API and docs   ${origin}/docs`,
    `  Health         ${origin}/health/ready`,
    `  Socket.IO      ${origin}`,
    ...(isDemo ? [`  Request bin    ${origin}/bin/demo`] : []),
    '',
  ];
  if (token !== undefined) {
    lines.push('  Admin token (development only, 30 days):', `  ${token}`, '');
  }
  if (isDemo && token !== undefined) {
    lines.push(
      '  Publish an event, and see it arrive signed in the request bin:',
      `  curl -sS ${origin}/api/v1/events -H 'authorization: Bearer ${token}' ` +
        `-H 'content-type: application/json' -d '{"type":"demo.hello","data":{"hello":"world"}}' ` +
        `&& sleep 1 && curl -sS ${origin}/bin/demo`,
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}
