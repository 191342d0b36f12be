import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** The name prefix of disks, which must be unmounted before they are removed. */
export const DISK_PREFIX = 'disk-';
const MOUNT = '/bin/mount';
const UMOUNT = '/bin/umount';
const SIZE = '160m';
const BLOCK = Buffer.alloc(1 << 20);
/** The last bytes are filled in small pieces, so that not even a page of a table fits. */
const CRUMB = Buffer.alloc(4096);

/** A small file system that can be filled without harm to the machine. */
export class SmallDisk {
  private constructor(readonly path: string) {}

  /** Undefined unless this process is root, which may mount one. */
  static make(directory: string): SmallDisk | undefined {
    if (process.getuid?.() !== 0 || process.platform !== 'linux') return undefined;
    const path = mkdtempSync(join(directory, DISK_PREFIX));
    try {
      execFileSync(MOUNT, ['-t', 'tmpfs', '-o', `size=${SIZE},mode=755`, 'tmpfs', path]);
    } catch {
      rmSync(path, { recursive: true });
      return undefined;
    }
    return new SmallDisk(path);
  }

  /** Fills it until no byte is left. */
  async fill(): Promise<void> {
    const ballast = await open(this.ballast, 'w');
    try {
      for (const piece of [BLOCK, CRUMB]) {
        while (await written(() => ballast.write(piece)));
      }
    } finally {
      await ballast.close();
    }
  }

  async free(): Promise<void> {
    await rm(this.ballast, { force: true });
  }

  remove(): void {
    execFileSync(UMOUNT, ['-l', this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }

  private get ballast(): string {
    return join(this.path, 'ballast');
  }
}

async function written(write: () => Promise<unknown>): Promise<boolean> {
  return write().then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOSPC') return false;
      throw error;
    },
  );
}
