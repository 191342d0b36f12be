import { applyDecorators } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ApiResponse } from '@nestjs/swagger';
import { documentedProblem } from './problem.js';

/** How large the body of a route may be. */
export interface BodyLimits {
  /** Of the whole body, as it is sent. */
  bytes: number;
  /** Items of a list that is a member of the body. Each may have {@link MAX_PART_BYTES}. */
  items: number;
}

const KIB = 1024;

/** Of every route that does not say otherwise. */
export const DEFAULT_LIMITS: BodyLimits = { bytes: 256 * KIB, items: Infinity };

/** Of one event: some clients escape every letter that is not ASCII, which triples the envelope. */
export const MAX_PART_BYTES = 1024 * KIB;

export const Limits = Reflector.createDecorator<BodyLimits>();

/** Sets and documents the limits of a route: `@BodyLimit({ bytes: 8 * 1024 * 1024, items: 1000 })`. */
export const BodyLimit = ({ bytes, items = Infinity }: Partial<BodyLimits> & { bytes: number }) =>
  applyDecorators(
    Limits({ bytes, items }),
    ApiResponse({
      status: 413,
      ...documentedProblem(413),
      description:
        `The body is larger than ${sizeText(bytes)}` +
        (items === Infinity ? '.' : `, or one item of it than ${sizeText(MAX_PART_BYTES)}.`),
    }),
  );

/** `8 MiB`, `256 KiB`. */
export const sizeText = (bytes: number): string =>
  bytes >= KIB * KIB ? `${bytes / KIB / KIB} MiB` : `${bytes / KIB} KiB`;
