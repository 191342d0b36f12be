import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from '../config/env.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { NodeEvents } from './node-events.js';
import { NodeRegistry } from './node-registry.service.js';
import { NodeRegistryStore } from './node-registry.store.js';
import { NoRealtimeBus, RealtimeBus, RedisRealtimeBus } from './realtime-bus.client.js';

/** What a node has to do with other nodes: the registry, and the bus. */
@Module({})
export class ClusterModule {
  static forRoot({ redisUrl }: Config): DynamicModule {
    return {
      module: ClusterModule,
      global: true,
      providers: [
        NodeEvents,
        NodeRegistry,
        NodeRegistryStore,
        {
          provide: RealtimeBus,
          inject: [TIMINGS],
          useFactory: (timings: Timings) =>
            redisUrl === undefined ? new NoRealtimeBus() : new RedisRealtimeBus(redisUrl, timings),
        },
      ],
      exports: [NodeEvents, NodeRegistry, NodeRegistryStore, RealtimeBus],
    };
  }
}
