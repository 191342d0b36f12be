import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';

const run = promisify(execFile);

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const USUAL_PLACES = ['/usr/bin', '/usr/local/bin', '/snap/bin', '/opt/homebrew/bin'];
const ON_A_MAC = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];
const SETPRIV = '/usr/bin/setpriv';
/** Containers run as root, whom the sandbox refuses, and have little shared memory. */
const FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
/** A browser that has to be installed first: a hundred packages over whatever line there is. */
export const BROWSER_START_MS = 300_000;

/** A real browser without a window, whose pages and processes end with it. */
export class TestBrowser {
  private constructor(private readonly browser: Browser) {}

  /** Starts the browser of this machine, or installs one first. */
  static async start(): Promise<TestBrowser> {
    const program = await findOrInstallBrowser();
    const args = [...FLAGS, 'about:blank'];
    // Also where the tests are killed, which leaves nobody to close it.
    const bound = existsSync(SETPRIV) && {
      executablePath: SETPRIV,
      ignoreDefaultArgs: true,
      args: ['--pdeathsig=KILL', program, ...puppeteer.defaultArgs({ args, headless: true })],
    };
    return new TestBrowser(
      await puppeteer.launch({ executablePath: program, headless: true, args, ...bound }),
    );
  }

  async open(url: string): Promise<Page> {
    const page = await this.browser.newPage();
    await page.goto(url);
    return page;
  }

  /** Ends every page but the empty one that the browser has for itself, with all their connections. */
  async closePages(): Promise<void> {
    const [, ...pages] = await this.browser.pages();
    await Promise.all(pages.map((page) => page.close()));
  }

  close(): Promise<void> {
    return this.browser.close();
  }
}

async function findOrInstallBrowser(): Promise<string> {
  const found = await findBrowser();
  if (found) return found;
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    await installBrowser().catch((error: Error) => {
      throw missing(`Installing Debian's chromium failed: ${error.message}`);
    });
    const installed = await findBrowser();
    if (installed) return installed;
  }
  throw missing('There is none on this machine.');
}

const missing = (reason: string): Error =>
  new Error(
    `The tests need a real browser. ${reason}\n` +
      'Set PUPPETEER_EXECUTABLE_PATH to a Chromium or Chrome, ' +
      'or install one (Debian: apt-get install chromium, macOS: brew install --cask google-chrome).',
  );

async function findBrowser(): Promise<string | undefined> {
  const { PATH = '', PUPPETEER_EXECUTABLE_PATH: given } = process.env;
  if (given) return given;
  const places = [...PATH.split(delimiter), ...USUAL_PLACES].filter(Boolean);
  const files = PROGRAMS.flatMap((name) => places.map((place) => join(place, name)));
  for (const file of [...files, ...ON_A_MAC]) {
    const runs = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return file;
  }
  return undefined;
}

async function installBrowser(): Promise<void> {
  console.log('a browser is missing: installing the package chromium');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  await run('apt-get', [...wait, 'update'], { env });
  const install = ['install', '-y', '--no-install-recommends', 'chromium'];
  await run('apt-get', [...wait, ...install], { env, maxBuffer: 64 << 20 });
}
