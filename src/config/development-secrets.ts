import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Random secrets for a machine where nothing was configured, kept beside the embedded data so that
 * tokens and encrypted webhook secrets outlive a restart. There is no well-known default to leak.
 */
export function developmentSecrets(dataDir: string): { jwtSecret: string; secretsKey: Buffer } {
  const file = join(dataDir, 'development-secrets.json');
  mkdirSync(dataDir, { recursive: true });
  const fresh = {
    jwtSecret: randomBytes(32).toString('base64url'),
    secretsKey: randomBytes(32).toString('base64'),
  };
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, JSON.stringify(fresh, null, 2), { mode: 0o600 });
  try {
    // Appears whole or not at all; of several processes that start together one wins, all read it.
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft);
  }
  const kept = JSON.parse(readFileSync(file, 'utf8')) as { jwtSecret: string; secretsKey: string };
  return { jwtSecret: kept.jwtSecret, secretsKey: Buffer.from(kept.secretsKey, 'base64') };
}
