import { Controller, Get, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { HealthCheckService, type HealthCheckResult } from '@nestjs/terminus';
import { z } from 'zod';
import { Public } from '../auth/auth.decorators.js';
import { ApiRoute } from '../http/api-route.decorator.js';
import type { Reply } from '../http/fastify-types.js';
import { HealthIndicators } from './health.indicators.js';
import { Shutdown } from './shutdown.service.js';

const Live = z.object({ status: z.literal('ok').describe('It lives.') }).meta({ id: 'Live' });
const Checks = z.record(z.string(), z.looseObject({ status: z.enum(['up', 'degraded', 'down']) }));
const Ready = z
  .object({
    status: z
      .enum(['ok', 'degraded', 'error', 'shutting_down'])
      .describe('Of all checks together; `degraded`: all is accepted and delivered, only later.'),
    info: Checks.nullish().describe('What is well, or only slower than usual.'),
    error: Checks.nullish().describe('What is not.'),
    details: Checks.describe(
      'What the roles of the process need: `database`, `queue`, `bus` and `lag`.',
    ),
  })
  .meta({ id: 'Ready' });

@Public()
@ApiTags('Health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicators,
    private readonly shutdown: Shutdown,
  ) {}

  @Get('live')
  @ApiRoute({
    summary: 'Is the process alive?',
    description: 'Looks at nothing outside: a store that is away is no reason for a restart.',
    isPublic: true,
    schema: Live,
    answer: 'It is.',
  })
  live(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Get('ready')
  @ApiRoute({
    summary: 'Can the process do what its roles promise?',
    description:
      'Not without the database, and not once it is about to stop: from then on it answers ' +
      'requests for a moment, so that routers can send them elsewhere. Without Redis it is ' +
      '`degraded`: events are accepted and delivered all the same, only later.',
    isPublic: true,
    schema: Ready,
    answer: 'It can.',
    otherwise: { status: 503, schema: Ready, answer: 'It cannot, or is about to stop.' },
  })
  async ready(@Res({ passthrough: true }) reply: Reply): Promise<HealthCheckResult> {
    if (this.shutdown.isStopping) {
      reply.status(503);
      return { status: 'shutting_down', details: {} };
    }
    try {
      return await this.health.check(this.indicators.all());
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      // A report and no problem: it names the check that failed.
      reply.status(error.getStatus());
      return error.getResponse() as HealthCheckResult;
    }
  }
}
