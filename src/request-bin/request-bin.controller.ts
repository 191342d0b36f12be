import { Controller, Get, Headers, HttpCode, Param, Post, Body } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Public } from '../auth/public.decorator.js';
import { InvalidInputError } from '../common/app-error.js';
import { type BinRequest, RequestBins } from './request-bins.js';

const NAME = /^[a-z0-9-]{1,40}$/;

/** A receiver to look at while trying things out. Not part of the API, and not there in production. */
@Public()
@ApiExcludeController()
@Controller('bin')
export class RequestBinController {
  private readonly bins = new RequestBins();

  @Post(':name')
  @HttpCode(200)
  receive(
    @Param('name') name: string,
    @Headers() headers: Record<string, string>,
    @Body() body: unknown,
  ): { received: true } {
    this.bins.add(checked(name), { receivedAt: new Date().toISOString(), headers, body });
    return { received: true };
  }

  @Get(':name')
  show(@Param('name') name: string): { bin: string; requests: readonly BinRequest[] } {
    return { bin: checked(name), requests: this.bins.get(name) };
  }
}

function checked(name: string): string {
  if (NAME.test(name)) return name;
  throw InvalidInputError.at('name', 'must be 1 to 40 lower-case letters, digits and hyphens');
}
