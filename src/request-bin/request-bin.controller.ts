import { Controller, Get, Headers, HttpCode, Param, Post, Body } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import { BodyLimit, MAX_PART_BYTES } from '../http/body-limit.decorator.js';
import { InvalidInputError } from '../shared/app-error.js';
import { fieldName } from '../shared/field-errors.js';
import { jsonProblem, MAX_JSON_DEPTH } from '../shared/json-values.js';
import { BIN_NAME, type BinRequest, RequestBins } from './request-bins.js';

const NAME = new RegExp(`^${BIN_NAME}$`);

/** A receiver that shows what it got. Not part of the API, and absent in production. */
@Public()
@ApiExcludeController()
@Controller('bin')
export class RequestBinController {
  private readonly bins = new RequestBins();

  @Post(':name')
  @HttpCode(200)
  @BodyLimit({ bytes: MAX_PART_BYTES })
  receive(
    @Param('name') name: string,
    @Headers() headers: Record<string, string>,
    @Body() body: unknown,
  ): { received: true } {
    const receivedAt = new Date().toISOString();
    this.bins.add(checked(name), { receivedAt, headers, body: checkedBody(body) });
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

/** A body that could not be shown is refused. An envelope is one level deeper than its data. */
function checkedBody(body: unknown): unknown {
  const problem = body === undefined ? undefined : jsonProblem(body, MAX_JSON_DEPTH + 1);
  if (problem) throw InvalidInputError.at(fieldName(problem.path) || '(body)', problem.message);
  return body;
}
