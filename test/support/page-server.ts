import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve, sep } from 'node:path';

/** A page whose origin is `null`, as in a sandboxed frame. */
const SANDBOXED = '/sandboxed';

/** A site of another origin: the same page under every path, and a folder of scripts. */
export class PageServer {
  private constructor(
    private readonly server: Server,
    /** The origin of its pages, which browsers send to other servers. */
    readonly origin: string,
  ) {}

  /**
   * @param html of every page
   * @param folder whose files are served below `/`, as modules
   */
  static async start(html: string, folder: string): Promise<PageServer> {
    const server = createServer(({ url = '/' }, response) => {
      if (url === SANDBOXED) {
        response.setHeader('content-security-policy', 'sandbox allow-scripts');
      }
      void scriptAt(folder, url).then(
        (script) => response.setHeader('content-type', 'text/javascript').end(script),
        () => response.setHeader('content-type', 'text/html').end(html),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new PageServer(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  get sandboxed(): string {
    return this.origin + SANDBOXED;
  }

  async close(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}

function scriptAt(folder: string, url: string): Promise<Buffer> {
  const file = resolve(join(folder, url));
  if (!file.startsWith(folder + sep))
    return Promise.reject(new Error(`${url} is outside of the folder`));
  return readFile(file);
}
