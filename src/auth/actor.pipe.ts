import { Inject, Injectable, type PipeTransform } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { type ForwardedRequest, TrustedProxies } from '../http/forwarded.js';
import { IncomingRequest } from '../http/incoming.request.js';
import type { Actor, Principal } from './principal.js';

/** A request whose caller was authenticated. */
export interface ActorRequest {
  /** The request of `node:http` below Fastify's. */
  raw: ForwardedRequest;
  principal: Principal;
}

/** Adds to the caller of a change from where it asks for it. */
@Injectable()
export class ActorPipe implements PipeTransform<ActorRequest, Actor> {
  private readonly proxies: TrustedProxies;

  constructor(@Inject(CONFIG) { trustedProxies }: Config) {
    this.proxies = new TrustedProxies(trustedProxies);
  }

  transform({ raw, principal }: ActorRequest): Actor {
    const address = this.proxies.addressOf(raw) || null;
    const requestId = raw instanceof IncomingRequest ? raw.requestId : null;
    return { ...principal, origin: { address, requestId } };
  }
}
