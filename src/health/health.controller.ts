import { Controller, Get, Res, ServiceUnavailableException } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { HealthCheckService, type HealthCheckResult } from '@nestjs/terminus';
import { z } from 'zod';
import { Public } from '../auth/auth.decorators.js';
import { ApiRoute } from '../http/api-route.decorator.js';
import type { Reply } from '../http/fastify-types.js';
import { DatabaseIndicator, LagIndicator, QueueIndicator } from './health.indicators.js';

const CHECK_TIMEOUT_MS = 1_000;

const Live = z.object({ status: z.literal('ok').describe('It lives.') }).meta({ id: 'Live' });
const Checks = z.record(z.string(), z.looseObject({ status: z.enum(['up', 'down']) }));
const Ready = z
  .object({
    status: z.enum(['ok', 'error', 'shutting_down']).describe('Of all checks together.'),
    info: Checks.nullish().describe('What is well.'),
    error: Checks.nullish().describe('What is not.'),
    details: Checks.describe('Everything: `database`, `queue`, `lag`.'),
  })
  .meta({ id: 'Ready' });

@Public()
@ApiTags('Health')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly database: DatabaseIndicator,
    private readonly queue: QueueIndicator,
    private readonly lag: LagIndicator,
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
    summary: 'Are its stores answering?',
    description:
      'Without the database nothing is accepted. Without the queue events are accepted and ' +
      'delivered all the same, only later: it is reported here to be repaired.',
    isPublic: true,
    schema: Ready,
    answer: 'All of them.',
    otherwise: { status: 503, schema: Ready, answer: 'Not all of them.' },
  })
  async ready(@Res({ passthrough: true }) reply: Reply): Promise<HealthCheckResult> {
    try {
      return await this.health.check([
        () => this.database.check().withTimeout(CHECK_TIMEOUT_MS),
        () => this.queue.check().withTimeout(CHECK_TIMEOUT_MS),
        () => this.lag.check().withTimeout(CHECK_TIMEOUT_MS),
      ]);
    } catch (error) {
      if (!(error instanceof ServiceUnavailableException)) throw error;
      // A report and no problem: it names the check that failed.
      reply.status(error.getStatus());
      return error.getResponse() as HealthCheckResult;
    }
  }
}
