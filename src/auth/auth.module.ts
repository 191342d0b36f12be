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
 * Who is calling, and may it?
 *
 * Importing this module closes every HTTP route of the application to callers without a good
 * credential (`@Public()` opens one, `@Roles()` narrows one), and offers {@link Authenticator} to
 * whoever takes connections that no guard sees. Needs the configuration and the database.
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
