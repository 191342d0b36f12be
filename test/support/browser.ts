import { existsSync } from 'node:fs';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { findOrInstall, type NeededProgram } from './installed-program.js';

const BROWSER: NeededProgram = {
  what: 'a real browser',
  names: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  places: ['/usr/bin', '/usr/local/bin', '/snap/bin', '/opt/homebrew/bin'],
  files: [
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
  ],
  package: 'chromium',
  help:
    'Set PUPPETEER_EXECUTABLE_PATH to a Chromium or Chrome, ' +
    'or install one (Debian: apt-get install chromium, macOS: brew install --cask google-chrome).',
};
const SETPRIV = '/usr/bin/setpriv';
/** Containers run as root, which the sandbox refuses, and have little shared memory. */
const FLAGS = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
/** How long an installation may take: a hundred packages over a slow network. */
export const BROWSER_START_MS = 300_000;

/** A real headless browser; its pages and processes end with it. */
export class TestBrowser {
  private constructor(private readonly browser: Browser) {}

  /** Starts the browser of this machine, or installs one first. */
  static async start(): Promise<TestBrowser> {
    const given = process.env.PUPPETEER_EXECUTABLE_PATH;
    const program = given || (await findOrInstall(BROWSER));
    const args = [...FLAGS, 'about:blank'];
    // It must also end when the tests are killed and cannot close it.
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

  /** Closes every page, with its connections, except the browser's own empty one. */
  async closePages(): Promise<void> {
    const [, ...pages] = await this.browser.pages();
    await Promise.all(pages.map((page) => page.close()));
  }

  close(): Promise<void> {
    return this.browser.close();
  }
}
