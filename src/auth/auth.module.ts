import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKeyEntity } from '../database/entities/api-key.entity.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthGuard } from './auth.guard.js';
import { Authenticator } from './authenticator.service.js';
import { JwtStrategy } from './jwt.strategy.js';

/**
 * Authentication and roles.
 *
 * Importing this module closes every HTTP route of the application to callers without a valid
 * credential and a role for it (`needs` of `ApiRoute`; `@Public()` opens one), and offers {@link Authenticator} for
 * live connections, which the guard does not see. Needs the configuration and the database.
 */
@Module({
  imports: [TypeOrmModule.forFeature([ApiKeyEntity])],
  controllers: [ApiKeysController],
  providers: [
    JwtStrategy,
    ApiKeysService,
    Authenticator,
    { provide: APP_GUARD, useClass: AuthGuard },
  ],
  exports: [Authenticator],
})
export class AuthModule {}
